//! Arbitrary text as an expression over typed columns: a mistake with a place inside of the text, or a value for each
//! row, the same from all compiled forms.
#![no_main]

use std::sync::LazyLock;

use foldline::sql::scalar::{Cell, Cells, Scalar};
use foldline::sql::vector::Vector;
use foldline::sql::{Column, Env, NameError, Resolved, Scope, Slot, Type, Value, cast_text, compile, parse_column, to_json, to_text};
use libfuzzer_sys::fuzz_target;

const COLUMNS: [(&str, &str, [&str; 3]); 14] = [
    ("b", "BOOLEAN", ["true", "false", "true"]),
    ("i8", "TINYINT", ["127", "-128", "0"]),
    ("i32", "INTEGER", ["2147483647", "-2147483648", "7"]),
    ("i64", "BIGINT", ["9223372036854775807", "-9223372036854775808", "3"]),
    ("u64", "UBIGINT", ["18446744073709551615", "0", "11"]),
    ("h", "HUGEINT", ["170141183460469231731687303715884105727", "-170141183460469231731687303715884105728", "1"]),
    ("d", "DECIMAL(18,2)", ["9999999999999999.99", "-0.01", "12.34"]),
    ("f", "DOUBLE", ["1e300", "-0.0", "nan"]),
    ("s", "VARCHAR", ["", "Ünïcode 😀 text", "2020-01-31"]),
    ("dt", "DATE", ["2020-01-31", "infinity", "1969-12-31"]),
    ("ts", "TIMESTAMP", ["2020-01-31 23:59:59.999999", "-infinity", "1970-01-01 00:00:00"]),
    ("iv", "INTERVAL", ["1 month -3 days 04:05:06", "0 days", "99 years"]),
    ("l", "INTEGER[]", ["[1, NULL, 3]", "[]", "[-2147483648]"]),
    ("m", "MAP(VARCHAR, INTEGER)", ["{a=1, b=NULL}", "{}", "{'x y'=3}"]),
];

struct Names(Vec<Type>);

impl Scope for Names {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        match path.first().and_then(|first| COLUMNS.iter().position(|(name, ..)| name == first)) {
            Some(i) => Ok(Resolved { slot: Slot(i as u32), ty: self.0[i].clone(), parts_used: 1 }),
            None => Err(NameError { message: format!("no column `{}`", path.join(".")), help: None }),
        }
    }
}

struct Table {
    types: Vec<Type>,
    /// Three rows, then one of NULLs.
    columns: Vec<Column>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { types: Vec::new(), columns: Vec::new() };
    for (_, ty, values) in COLUMNS {
        let ty = parse_column(ty).expect("a type").ty;
        let mut column = Column::new(ty.clone());
        values.iter().for_each(|text| column.push(cast_text(text, &ty).expect("a value")));
        column.push(Value::Null);
        table.types.push(ty);
        table.columns.push(column);
    }
    table
});

struct Row<'a> {
    columns: &'a [Column],
    row: usize,
}

impl Env for Row<'_> {
    fn get(&self, slot: Slot) -> Value {
        self.columns[slot.0 as usize].get(self.row)
    }
}

impl Cells for Row<'_> {
    fn cell(&self, slot: Slot) -> Cell {
        self.columns[slot.0 as usize].cell(self.row)
    }

    fn text(&self, slot: Slot) -> Option<&str> {
        self.columns[slot.0 as usize].text(self.row)
    }

    fn is_null(&self, slot: Slot) -> bool {
        self.columns[slot.0 as usize].nulls[self.row]
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // the first letter chooses what the expression is assigned to
    let (wanted, text) = match text.chars().next() {
        Some(c) if c.is_ascii_digit() => (Some(&TABLE.types[c as usize - '0' as usize]), &text[1..]),
        _ => (None, text),
    };
    if let Ok(column) = parse_column(text) {
        let _ = column.default.map(|value| to_text(&value, &column.ty));
    }
    let expr = match compile(text, &mut Names(TABLE.types.clone()), wanted) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(text.get(error.span).is_some() && !error.message.is_empty());
            return;
        }
    };
    let type_of = |slot: Slot| TABLE.types.get(slot.0 as usize).cloned();
    let (scalar, vector) = (Scalar::of(&expr, &type_of), Vector::of(&expr, &type_of));
    let column = |slot: Slot| TABLE.columns.get(slot.0 as usize);
    let computed = vector.as_ref().and_then(|vector| vector.run(4, &column));
    for row in 0..4 {
        let env = Row { columns: &TABLE.columns, row };
        let value = expr.eval(&env);
        if let Ok(value) = &value {
            let _ = (to_text(value, &expr.ty), to_json(value, &expr.ty));
        }
        // a compiled form that cannot give a value leaves the row to the expression itself
        if let Some(scalar) = &scalar
            && let Some(compiled) = scalar.eval(&env).to_value(&expr.ty)
        {
            assert_eq!(to_text(&compiled, &expr.ty), value.as_ref().ok().and_then(|value| to_text(value, &expr.ty)));
        }
        if let Some(computed) = &computed {
            assert!(value.is_ok() || computed.failed(row));
        }
    }
});
