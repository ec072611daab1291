//! What the differential test cannot say: errors with their places, names, in-place updates, hostile input.

use super::*;

/// A scope of a few columns, by name.
struct Columns(Vec<(&'static str, Type)>);

impl Scope for Columns {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        match self.0.iter().position(|(name, _)| name.eq_ignore_ascii_case(&path[0])) {
            Some(i) => Ok(Resolved { slot: Slot(i as u32), ty: self.0[i].1.clone(), parts_used: 1 }),
            None => Err(NameError { message: format!("no column `{}`", path.join(".")), help: None }),
        }
    }
}

struct Row(Vec<Value>);

impl Env for Row {
    fn get(&self, slot: Slot) -> Value {
        self.0[slot.0 as usize].clone()
    }
}

fn map_type() -> Type {
    Type::Map(Box::new(Type::Varchar), Box::new(Type::Integer))
}

fn columns() -> Columns {
    let address = Type::Struct(vec![("city".into(), Type::Varchar)]);
    Columns(vec![("qty", Type::Integer), ("lines", map_type()), ("tags", Type::List(Box::new(Type::Varchar))), ("address", address)])
}

fn compiled(text: &str) -> Expr {
    compile(text, &mut columns(), None).unwrap_or_else(|e| panic!("{text}: {}", e.message))
}

fn refused(text: &str) -> CompileError {
    match compile(text, &mut columns(), None) {
        Ok(_) => panic!("{text} compiles"),
        Err(e) => e,
    }
}

fn row() -> Row {
    let lines = cast_text("{A=1}", &map_type()).unwrap();
    Row(vec![Value::Int(2), lines, Value::Null, Value::Null])
}

fn shown(text: &str) -> String {
    let expr = compiled(text);
    match expr.eval(&row()) {
        Ok(value) => to_text(&value, &expr.ty).unwrap_or_else(|| "NULL".into()),
        Err(EvalError(message)) => format!("error: {message}"),
    }
}

#[test]
fn an_error_names_its_bytes_even_behind_letters_of_several_bytes() {
    let text = "'äöü' || nothing";
    let e = refused(text);
    assert_eq!(&text[e.span.clone()], "nothing");
}

#[test]
fn a_double_quoted_text_is_told_about_single_quotes() {
    let e = refused("\"placed\"");
    assert_eq!(e.message, "no column `placed`");
    assert_eq!(e.help.as_deref(), Some("text stands in single quotes: did you mean `'placed'`?"));
}

#[test]
fn an_unknown_function_names_the_nearest_one() {
    let e = refused("qty + lenght('a')");
    assert_eq!((e.message.as_str(), e.help.as_deref()), ("no function `lenght`", Some("did you mean `length`?")));
    assert_eq!(e.span, 6..12);
}

#[test]
fn the_clock_and_chance_are_refused() {
    for text in ["now()", "current_date", "current_timestamp", "random()", "uuid()"] {
        assert!(refused(text).message.contains("cannot stand in an expression"), "{text}");
    }
}

#[test]
fn queries_and_aggregates_are_refused() {
    for text in ["(SELECT 1)", "sum(qty)", "count(*)", "qty IN (SELECT 1)", "row_number() OVER ()", "EXISTS (SELECT 1)"] {
        refused(text);
    }
}

#[test]
fn trailing_text_is_refused() {
    assert_eq!(refused("1 2").span, 2..3);
    refused("1; DROP TABLE x");
}

#[test]
fn a_map_is_put_into_and_removed_from() {
    assert_eq!(shown("map_put(lines, 'A', coalesce(lines['A'], 0) + qty)"), "{A=3}");
    assert_eq!(shown("map_put(lines, 'B', qty)"), "{A=1, B=2}");
    assert_eq!(shown("map_remove(lines, 'A')"), "{}");
    assert_eq!(shown("map_put(NULL::MAP(VARCHAR, INTEGER), 'A', 1)"), "NULL");
    assert_eq!(shown("map_put(lines, NULL, 1)"), "error: map_put: a map's key cannot be NULL");
}

#[test]
fn an_update_in_place_gives_what_evaluation_gives() {
    for text in ["map_put(lines, 'B', qty)", "map_remove(lines, 'A')"] {
        let expr = compile(text, &mut columns(), Some(&map_type())).unwrap();
        assert!(expr.is_in_place(Slot(1)) && !expr.is_in_place(Slot(0)), "{text}");
        let args = expr.in_place_args(&row()).unwrap();
        let Value::Map(_) = &row().0[1] else { panic!("a map") };
        assert_eq!(expr.in_place_apply(row().0[1].clone(), args), expr.eval(&row()).unwrap());
    }
}

#[test]
fn a_bare_name_is_its_slot_and_slots_are_listed_once() {
    assert_eq!(compiled("qty").as_slot(), Some(Slot(0)));
    assert_eq!(compiled("qty + 1").as_slot(), None);
    assert_eq!(compiled("qty + qty * cardinality(lines)").slots(), [Slot(0), Slot(1)]);
    assert_eq!(compiled("1 + 2").as_constant(), Some(&Value::Int(3)));
}

#[test]
fn fields_of_structs_follow_a_name() {
    assert_eq!(compiled("address.city").ty, Type::Varchar);
    assert_eq!(refused("address.citi").help.as_deref(), Some("did you mean `city`?"));
}

#[test]
fn what_is_wanted_is_converted_as_insert_converts() {
    let expr = compile("qty * 1.5", &mut columns(), Some(&Type::Integer)).unwrap();
    assert_eq!((expr.ty.clone(), expr.eval(&row())), (Type::Integer, Ok(Value::Int(3))));
    let narrow = compile("qty + 300", &mut columns(), Some(&Type::TinyInt)).unwrap();
    assert!(narrow.eval(&row()).is_err());
    assert!(compile("qty", &mut columns(), Some(&Type::Date)).is_err());
}

#[test]
fn a_column_is_a_type_and_what_is_said_of_it() {
    let column = parse_column("DECIMAL(10,2) NOT NULL DEFAULT 1 + 0.5 KEY").unwrap();
    assert_eq!((column.ty, column.not_null, column.key), (Type::Decimal { width: 10, scale: 2 }, true, true));
    assert_eq!(column.default, Some(Value::Int(150)));
    assert_eq!(parse_column("MAP(VARCHAR, INTEGER) DEFAULT MAP {}").unwrap().default, Some(Value::Map(Default::default())));
    assert_eq!(parse_column("INTEGRE").unwrap_err().help.as_deref(), Some("did you mean `INTEGER`?"));
    assert!(parse_column("INTEGER DEFAULT 'x'").is_err());
}

#[test]
fn text_with_an_offset_becomes_utc() {
    let at = cast_text("2026-01-01T10:00:00+02:00", &Type::Timestamp).unwrap();
    assert_eq!(to_text(&at, &Type::Timestamp).unwrap(), "2026-01-01 08:00:00");
}

#[test]
fn nesting_is_bounded_before_the_stack_is() {
    for (open, close) in [("(", ")"), ("[", "]"), ("-", ""), ("NOT ", ""), ("abs(", ")"), ("CASE WHEN TRUE THEN ", " END"), ("{'a': ", "}")]
    {
        let text = format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
        assert!(compile(&text, &mut columns(), None).is_err(), "{open}");
    }
    assert!(compile(&vec!["1"; 50_000].join(" + "), &mut columns(), None).is_err());
    assert!(compile(&format!("1::{}INT{}", "STRUCT(a ".repeat(9000), ")".repeat(9000)), &mut columns(), None).is_err());
    // What `->` takes from the left lies deeper than it is written.
    let arrow = format!(" -> 'a' ->> 'b'{}", " || 'c'".repeat(60));
    assert!(compile(&format!("JSON '{{}}'{}", arrow.repeat(100)), &mut columns(), None).is_err());
    assert!(compile(&format!("{}1 for x in [1]{}", "[".repeat(50_000), "]".repeat(50_000)), &mut columns(), None).is_err());
}

#[test]
fn json_is_bounded_before_the_stack_is() {
    let deep = |levels: usize| format!("json('{}1{}')", "[".repeat(levels), "]".repeat(levels));
    let value = |text: &str| compile(text, &mut columns(), None).map(|expr| expr.eval(&Row(Vec::new())));
    assert!(matches!(value(&deep(100)), Ok(Ok(_))));
    assert!(matches!(value(&deep(100_000)), Ok(Err(_))));
}

#[test]
fn no_text_makes_the_compiler_panic() {
    let pieces = [
        "qty",
        "lines",
        "'a'",
        "'",
        "\"",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "::",
        "INT",
        "DATE",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "+",
        "-",
        "*",
        "//",
        "->",
        "->>",
        "lambda",
        "x",
        "INTERVAL",
        "1",
        "1.5",
        "1e400",
        "99999999999999999999999999999999999999999",
        "MAP",
        "abs(",
        "ä",
        "\\",
        "$$",
        "e'\\x'",
        "/*",
        "--",
        "NULL",
        "IS",
        "NOT",
        "IN",
        "LIKE",
        "BETWEEN",
        "AND",
        ".",
        "substring(",
        "date_part(",
        "list_transform(",
        "strftime(",
    ];
    let mut seed = 88172645463325252u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed % 9) + 1 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text.push_str(pieces[(seed >> 20) as usize % pieces.len()]);
            text.push_str(if seed & 1024 == 0 { " " } else { "" });
        }
        match compile(&text, &mut columns(), None) {
            Ok(expr) => drop(expr.eval(&row())),
            Err(e) => assert!(text.get(e.span.clone()).is_some(), "{text}: {:?}", e.span),
        }
    }
}

#[test]
fn what_would_be_too_long_is_an_error() {
    for text in [
        "repeat('ab', 100000000)",
        "repeat('\\x00'::BLOB, 100000000)",
        "repeat([1, 2], 100000000)",
        "lpad('a', 100000000, 'x')",
        "hex(repeat('a', 60000000))",
        "repeat('a', 60000000) || repeat('b', 60000000)",
        "concat(repeat('a', 60000000), repeat('b', 60000000))",
        "format('{:100000000}', 1)",
        "format('{:.100000000f}', 1.5)",
        "printf('%100000000d', 1)",
        "printf('%.100000000d', 1)",
        "damerau_levenshtein(repeat('a', 5000), repeat('b', 5000))",
        "levenshtein(repeat('a', 100000), repeat('b', 100000))",
    ] {
        let answer = shown(text);
        assert!(answer.starts_with("error: ") && answer.contains("too long"), "{text}: {answer:.60}");
    }
}

#[test]
fn more_digits_than_a_number_has_are_zeros() {
    assert_eq!(shown("length(format('{:.70000f}', 0.1))"), "70002");
    assert_eq!(shown("length(format('{:.70000e}', 0.1))"), "70006");
    assert_eq!(shown("format('{:.70000}', 0.5)"), "0.5");
    assert_eq!(shown("length(printf('%.70000a', 0.5))"), "70007");
}

#[test]
fn functions_do_with_columns_what_they_do_with_constants() {
    assert_eq!(shown("format('{:>5}|{}', qty, 'x' || qty)"), "    2|x2");
    assert_eq!(shown("regexp_extract('a' || qty, '(a)(.)', ['x', 'y'])"), "{'x': a, 'y': 2}");
    assert_eq!(shown("regexp_replace('a' || qty, '[' || qty || ']', '<\\0>')"), "a<2>");
    assert_eq!(shown("hash(qty) = hash(2)"), "true");
    assert_eq!(shown("md5('a' || qty) = md5('a2')"), "true");
    assert_eq!(shown("xor(qty, 3)"), "1");
    assert_eq!(shown("constant_or_null('x', qty)"), "x");
    assert_eq!(shown("case when qty > 1 then error('too many: ' || qty) else qty end"), "error: too many: 2");
    assert_eq!(shown("case when qty > 2 then error('too many: ' || qty) else qty end"), "2");
    refused("constant_or_null(qty, 1)");
    refused("regexp_extract('a', '(' || qty || ')', ['x'])");
}

#[test]
fn a_function_may_stand_behind_its_first_argument() {
    assert_eq!(shown("qty.abs()"), "2");
    assert_eq!(shown("(address).city.upper()"), "NULL");
    assert_eq!(shown("address.city.upper().length()"), "NULL");
    assert_eq!(shown("\"lines\".map_keys().len()"), "1");
    assert_eq!(shown("('a' || qty).upper()"), "A2");
    assert_eq!(refused("qty.uper()").span, 4..8);
    assert_eq!(refused("nothing.upper()").span, 0..7);
    assert_eq!(refused("'a'.upper()").span, 3..4);
    refused("qty::VARCHAR.upper()");
}

#[test]
fn words_of_other_languages_are_answered_with_those_of_sql() {
    for (text, wanted) in [
        ("qty > 1 && qty < 3", "write AND"),
        ("qty > 1 || qty < 3", "write OR"),
        ("qty > 1 > 0", "`a < b AND b < c`"),
        ("qty IS NULL && qty IS NULL", "written AND"),
        ("!(qty = 1)", "written NOT"),
        ("if qty > 1 then 2 else 3 end", "CASE WHEN"),
        ("qty > 1 ? 2 : 3", "CASE WHEN"),
        ("isnull(qty)", "IS NULL"),
        ("order + 1", "`\"order\"`"),
        ("list_transform(tags, lamda x: x)", "`lambda x: x + 1`"),
        ("'a' + address.city", "joined by `||`"),
        ("address.city * qty", "`(…)::INTEGER`"),
        ("address.city - INTERVAL 1 DAY", "`(…)::TIMESTAMP`"),
        ("TIMESTAMP '2020-01-01' - qty", "`INTERVAL 1 DAY`"),
        ("address.city > 5", "`(…)::INTEGER`"),
        ("5 > address.city", "`(…)::INTEGER`"),
        ("'a'.upper()", "`('a').upper()`"),
        ("nvl(qty, 0)", "`coalesce`"),
        ("array_distance([1], [2])", "`list_distance`"),
        ("nextval('s')", "no session"),
        ("[address].city", "list_transform(xs, lambda x: x.city)"),
    ] {
        let help = refused(text).help.unwrap_or_default();
        assert!(help.contains(wanted), "{text}: {help}");
    }
    let wrong = parse_column("BIGINT PRIMARY KEY").unwrap_err();
    assert_eq!(wrong.message, "the column's definition ends before `PRIMARY`");
}

#[test]
fn a_constant_that_a_column_cannot_take_is_refused_when_compiled() {
    for (text, wanted) in [("'x'", Type::Integer), ("300", Type::TinyInt), ("1e9 + 1", Type::SmallInt), ("'2020-13-01'", Type::Date)] {
        assert!(compile(text, &mut columns(), Some(&wanted)).is_err(), "{text}");
    }
    assert!(compile("map_put(lines, 'a', 'x')", &mut columns(), None).is_err());
    // what a condition may leave out is not refused
    for text in ["CASE WHEN qty > 1 THEN 300 ELSE 1 END", "coalesce(qty, 300)", "NULL", "127"] {
        assert!(compile(text, &mut columns(), Some(&Type::TinyInt)).is_ok(), "{text}");
    }
}

#[test]
fn an_overflow_of_decimals_is_told_in_their_digits() {
    let nines = "9".repeat(36);
    assert_eq!(
        shown(&format!("{nines}.50::DECIMAL(38,2) + {nines}.50::DECIMAL(38,2)")),
        format!("error: overflow: {nines}.50 + {nines}.50 does not fit DECIMAL(38,2)")
    );
    let product = shown(&format!("{nines}.0::DECIMAL(37,1) * (97 + qty)::DECIMAL(2,0)"));
    assert!(product.starts_with("error: overflow: the result does not fit DECIMAL(38,1)"), "{product}");
}
