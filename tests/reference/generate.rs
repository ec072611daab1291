//! Random projects.

/// A small generator of numbers (splitmix64): the same cases everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// A project, a later version of it, and a log in pieces.
pub struct Case {
    pub project: String,
    pub changed: Option<String>,
    /// File and the lines that are added to it.
    pub pieces: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Int,
    Dec,
    Text,
    Bool,
    Day,
    Time,
    Ints,
    Texts,
    Lines,
    Map,
    Json,
}

/// Fields of payloads: every type that has one has it with this type.
pub const FIELDS: [(&str, Kind, &str); 14] = [
    ("n", Kind::Int, "INTEGER"),
    ("m", Kind::Int, "INTEGER DEFAULT 7"),
    ("g", Kind::Int, "BIGINT"),
    ("d", Kind::Dec, "DECIMAL(10,2)"),
    ("e", Kind::Dec, "DECIMAL(6,3) DEFAULT 0.5"),
    ("k", Kind::Text, "VARCHAR"),
    ("t", Kind::Text, "VARCHAR DEFAULT 'none'"),
    ("b", Kind::Bool, "BOOLEAN"),
    ("day", Kind::Day, "DATE"),
    ("at", Kind::Time, "TIMESTAMP"),
    ("ns", Kind::Ints, "INTEGER[]"),
    ("tags", Kind::Texts, "VARCHAR[]"),
    ("lines", Kind::Lines, "STRUCT(sku VARCHAR, qty INTEGER, parts INTEGER[])[]"),
    ("j", Kind::Json, "JSON"),
];

const STATE: [(Kind, &str); 10] = [
    (Kind::Int, "INTEGER DEFAULT 0"),
    (Kind::Int, "BIGINT"),
    (Kind::Int, "INTEGER DEFAULT 3"),
    (Kind::Dec, "DECIMAL(18,2) DEFAULT 1.25"),
    (Kind::Text, "VARCHAR DEFAULT 'new'"),
    (Kind::Bool, "BOOLEAN"),
    (Kind::Day, "DATE"),
    (Kind::Ints, "INTEGER[] DEFAULT []"),
    (Kind::Map, "MAP(VARCHAR, INTEGER) DEFAULT MAP {}"),
    (Kind::Json, "JSON"),
];

const TYPES: [&str; 5] = ["A", "B", "C.x", "C.y", "D"];

/// What an expression may name.
#[derive(Clone, Default)]
struct Sight {
    fields: Vec<(&'static str, Kind)>,
    state: Vec<(String, Kind)>,
    each: Option<Kind>,
    /// `each` is a line.
    each_line: bool,
}

pub struct Generator {
    pub random: Random,
    pub skips: bool,
    pub versioned: bool,
    pub replica: bool,
    /// Its key has two columns.
    pub two_keys: bool,
    /// By type, `*` first: indexes into FIELDS.
    contracts: Vec<(&'static str, Vec<usize>)>,
}

pub fn case(seed: u64) -> Case {
    let mut random = Random(seed);
    let (skips, versioned, replica) = (random.percent(50), random.percent(80), random.percent(40));
    let two_keys = random.percent(40);
    let mut generator = Generator { random, skips, versioned, replica, two_keys, contracts: Vec::new() };
    let project = generator.project();
    let changes = [
        (" + 1", " + 2"),
        ("'x'", "'y'"),
        ("DEFAULT 7", "DEFAULT 8"),
        ("coalesce(data.n, 0)", "coalesce(data.n, 1)"),
        ("drop = [\"junk\"]", "drop = [\"e\"]"),
        ("discard = true", "as = \"A\""),
        ("delete = true\n", ""),
        ("(10,2)", "(10,1)"),
        ("type = \"A\"", "type = \"B\""),
    ];
    let (from, to) = changes[generator.random.below(changes.len())];
    let changed = generator.random.percent(50).then(|| project.replace(from, to));
    let pieces = generator.log();
    Case { project, changed, pieces }
}

impl Generator {
    fn project(&mut self) -> String {
        let mut out = String::from("[source.s]\nfiles = [\"*.ndjson\"]\n");
        if self.skips {
            out.push_str("on_bad_record = \"skip\"\n");
        }
        if self.random.percent(20) {
            let choices =
                ["type <> 'D'", "coalesce(id, 'e1') LIKE '%1%'", "metadata.v IS NULL OR data.k = 'k1'", "stream_id || type <> 'a-1A'"];
            out.push_str(&format!("where = \"{}\"\n", self.random.of(&choices)));
        }
        if !self.versioned {
            out.push_str("[source.s.envelope]\nversion = \"NULL\"\n");
        }
        self.contracts.push(("*", vec![0, 5]));
        for event_type in TYPES {
            let fields = (0..FIELDS.len()).filter(|_| self.random.percent(45)).collect();
            self.contracts.push((event_type, fields));
        }
        for (pattern, fields) in self.contracts.clone() {
            out.push_str(&format!("[event.\"{pattern}\"]\n"));
            for field in fields {
                let (name, _, column) = FIELDS[field];
                let not_null = if self.skips && self.random.percent(8) { " NOT NULL" } else { "" };
                out.push_str(&format!("{name} = \"{column}{not_null}\"\n"));
            }
        }
        if self.replica {
            let name = if self.skips && self.random.percent(30) { "VARCHAR NOT NULL" } else { "VARCHAR" };
            let level = if self.two_keys { "INTEGER KEY" } else { "INTEGER DEFAULT 2" };
            out.push_str(&format!(
                "[event.\"cust.*\"]\nid = \"INTEGER KEY\"\nname = \"{name}\"\nlevel = \"{level}\"\nnotes = \"VARCHAR[]\"\n"
            ));
            out.push_str("[aggregate.cust]\nreplica_of = \"cust\"\n");
        }
        for _ in 0..self.random.below(4) {
            self.upcast(&mut out);
        }
        for number in 0..1 + self.random.below(3) {
            self.aggregate(number, &mut out);
        }
        for event_type in TYPES {
            if self.random.percent(25) {
                out.push_str(&format!(
                    "[read_model.\"of_{}\"]\nsql = 'SELECT * FROM events.\"{event_type}\"'\n",
                    event_type.replace('.', "_")
                ));
            }
        }
        out
    }

    fn upcast(&mut self, out: &mut String) {
        let pattern = self.random.of(&["A", "B", "C.*", "Old", "Old|Cart", "Cart", "*"]);
        let discards = self.random.percent(12);
        out.push_str(&format!("[[upcast]]\ntype = \"{pattern}\"\n"));
        let sure = [
            "TRY_CAST(data.n AS INTEGER) > 3",
            "meta.v::INTEGER = 1",
            "event.stream LIKE 'a-%'",
            "data.k = 'k1'",
            "data.nest.deep IS NULL",
        ];
        let fails = ["data.n::INTEGER > 2"];
        if discards || self.random.percent(60) {
            let when = if self.skips && self.random.percent(20) { fails[0] } else { self.random.of(&sure) };
            out.push_str(&format!("when = \"{when}\"\n"));
        }
        if discards {
            out.push_str("discard = true\n");
            return;
        }
        let change = |random: &mut Random| {
            let mut fields = vec![
                ("n", "coalesce(TRY_CAST(data.n AS INTEGER), 0) + 1"),
                ("t", "'u-' || data.k"),
                ("k", "data.old_k"),
                ("\"nest.deep\"", "data.k"),
                ("\"nest.more.far\"", "event.type || event.version"),
                ("d", "TRY_CAST(data.n AS INTEGER) * 0.5"),
                ("tags", "[data.k, 'x']"),
                ("m", "data.n"),
                ("j", "data.nest"),
                ("day", "event.time::DATE"),
                ("b", "meta.v IS NULL"),
                ("g", "NULL"),
                ("lines", "[{'sku': data.k, 'qty': 2, 'parts': [1, 2]}]"),
            ];
            fields.retain(|_| random.percent(25));
            let drops: Vec<&str> = ["junk", "old_k", "e", "nest.deep", "at"]
                .into_iter()
                .filter(|field| random.percent(15) && !fields.iter().any(|(set, _)| set.contains("nest") && field.contains("nest")))
                .collect();
            let set: Vec<String> = fields.iter().map(|(name, sql)| format!("{name} = \"{sql}\"")).collect();
            (set, drops)
        };
        let words = |set: &[String], drops: &[&str]| {
            let mut words = Vec::new();
            if !set.is_empty() {
                words.push(format!("set = {{ {} }}", set.join(", ")));
            }
            if !drops.is_empty() {
                words.push(format!("drop = {drops:?}"));
            }
            words
        };
        let (mut set, mut drops) = change(&mut self.random);
        let outcome = self.random.below(10);
        if outcome >= 6 {
            let mut parts = Vec::new();
            for _ in 0..1 + self.random.below(3) {
                let (set, part_drops) = change(&mut self.random);
                // what the upcaster drops, no part may set
                drops.retain(|drop| !set.iter().any(|field| field.contains("nest") && drop.contains("nest")));
                let mut part = vec![format!("type = \"{}\"", self.random.of(&["A", "B", "C.x", "D", "Nobody"]))];
                part.extend(words(&set, &part_drops));
                parts.push(format!("{{ {} }}", part.join(", ")));
            }
            out.push_str(&format!("into = [{}]\n", parts.join(", ")));
        } else if outcome >= 3 {
            out.push_str(&format!("as = \"{}\"\n", self.random.of(&["A", "B", "C.y", "D"])));
        } else if set.is_empty() {
            set.push("raw = \"data.k || 'x'\"".into());
        }
        for word in words(&set, &drops) {
            out.push_str(&format!("{word}\n"));
        }
    }

    fn aggregate(&mut self, number: usize, out: &mut String) {
        let name = format!("agg{number}");
        let shape = self.random.below(4);
        let int_key = self.random.percent(40);
        out.push_str(&format!("[aggregate.{name}]\n"));
        let mut keys: Vec<(&str, Kind)> = Vec::new();
        if shape <= 1 {
            let (stream, columns): (&str, &[&str]) = if self.random.percent(60) { ("a-{id}", &["id"]) } else { ("b-{x}-{y}", &["x", "y"]) };
            out.push_str(&format!("stream = \"{stream}\"\n"));
            keys.extend(columns.iter().map(|column| (*column, Kind::Text)));
        }
        if shape == 1 || shape == 2 {
            let kind = if int_key { Kind::Int } else { Kind::Text };
            let key = self.key_expression(kind, &Sight { fields: vec![("n", Kind::Int), ("k", Kind::Text)], ..Sight::default() });
            out.push_str(&format!("key = {{ kk = \"{key}\" }}\n"));
            keys.push(("kk", kind));
        }
        let own_key = shape < 3;
        if !own_key {
            keys.push(("kk", if int_key { Kind::Int } else { Kind::Text }));
        }
        let mut state: Vec<(String, Kind)> = Vec::new();
        out.push_str(&format!("[aggregate.{name}.state]\n"));
        for (i, (kind, column)) in STATE.iter().enumerate() {
            if i == 0 || self.random.percent(45) {
                out.push_str(&format!("s{i} = \"{column}\"\n"));
                state.push((format!("s{i}"), *kind));
            }
        }
        if self.random.percent(8) {
            out.push_str("tiny = \"TINYINT DEFAULT 100\"\n");
            state.push(("tiny".into(), Kind::Int));
        }
        let gives = self.random.percent(50);
        if gives {
            out.push_str(&format!("[aggregate.{name}.rows.log]\nwhat = \"VARCHAR\"\nsum = \"BIGINT\"\n"));
        }
        let around = |random: &mut Random, most: usize| random.below(most + 1);
        let star = Sight { fields: vec![("n", Kind::Int), ("k", Kind::Text)], state: state.clone(), ..Sight::default() };
        for _ in 0..around(&mut self.random, 1) {
            out.push_str(&format!("[[aggregate.{name}.before]]\n"));
            self.rule(&star, None, gives, out);
        }
        for i in 0..2 + self.random.below(4) {
            let pattern = self.random.of(&["A", "B", "C.*", "C.x", "A|B", "D", "*", "A"]);
            out.push_str(&format!("[[aggregate.{name}.on.\"{pattern}\"]]\n"));
            let sight = Sight { fields: self.common_fields(pattern), ..star.clone() };
            // the first rule says what type the key is of
            let keyed = !own_key || self.random.percent(20);
            if i > 0 && self.random.percent(8) {
                out.push_str("all = true\n");
                self.rule(&Sight { each: None, ..sight }, Some(&[]), gives, out);
            } else {
                self.rule(&sight, if keyed { Some(&keys) } else { None }, gives, out);
            }
        }
        for _ in 0..around(&mut self.random, 2) {
            out.push_str(&format!("[[aggregate.{name}.after]]\n"));
            self.rule(&star, None, gives, out);
        }
    }

    /// The fields that every type of a pattern has.
    fn common_fields(&self, pattern: &str) -> Vec<(&'static str, Kind)> {
        let star = vec![0, 5];
        let mut common: Vec<usize> = if pattern.contains('*') { star.clone() } else { (0..FIELDS.len()).collect() };
        for (event_type, own) in self.contracts.iter().filter(|(event_type, _)| pattern.split('|').any(|one| one == *event_type)) {
            let _ = event_type;
            common.retain(|field| own.contains(field) || star.contains(field));
        }
        common.into_iter().map(|field| (FIELDS[field].0, FIELDS[field].1)).collect()
    }

    /// `keys`: the rule finds its row by a key of its own; empty: it is for all rows.
    fn rule(&mut self, sight: &Sight, keys: Option<&[(&str, Kind)]>, gives: bool, out: &mut String) {
        let mut sight = sight.clone();
        let lists: Vec<(String, Kind, bool, bool)> = self.lists(&sight);
        let for_all = keys.is_some_and(<[_]>::is_empty);
        let mut of_row = false;
        if !lists.is_empty() && !for_all && self.random.percent(35) {
            let (list, kind, line, row) = lists[self.random.below(lists.len())].clone();
            out.push_str(&format!("each = \"{list}\"\n"));
            (sight.each, sight.each_line, of_row) = (Some(kind), line, row);
        }
        if let Some(keys) = keys.filter(|keys| !keys.is_empty()) {
            let plain = Sight { each: if of_row { None } else { sight.each }, each_line: sight.each_line && !of_row, ..sight.clone() };
            let key: Vec<String> = keys.iter().map(|(name, kind)| format!("{name} = \"{}\"", self.key_expression(*kind, &plain))).collect();
            out.push_str(&format!("key = {{ {} }}\n", key.join(", ")));
        }
        let fails = self.random.percent(1);
        if fails || self.random.percent(40) {
            let when = self.expression(Kind::Bool, &sight, 2);
            out.push_str(&format!("when = \"{when}\"\n"));
        }
        if fails {
            out.push_str("fail = \"'no ' || event.type\"\n");
            return;
        }
        if self.random.percent(8) {
            out.push_str("delete = true\n");
            return;
        }
        let mut set = Vec::new();
        for (name, kind) in sight.state.clone() {
            if self.random.percent(35) {
                let value = self.new_value(&name, kind, &sight);
                set.push(format!("{name} = \"{value}\""));
            }
        }
        if !set.is_empty() {
            out.push_str(&format!("set = {{ {} }}\n", set.join(", ")));
        }
        if gives && self.random.percent(40) {
            let what = self.expression(Kind::Text, &sight, 1);
            let sum = self.expression(Kind::Int, &sight, 1);
            out.push_str(&format!("emit.log = {{ what = \"{what}\", sum = \"{sum}\" }}\n"));
        }
    }

    /// Lists for `each`: text, kind of the elements, whether they are lines, whether it is the row's.
    fn lists(&self, sight: &Sight) -> Vec<(String, Kind, bool, bool)> {
        let mut out = Vec::new();
        for (name, kind) in &sight.fields {
            match kind {
                Kind::Ints => out.push((format!("data.{name}"), Kind::Int, false, false)),
                Kind::Texts => out.push((format!("data.{name}"), Kind::Text, false, false)),
                Kind::Lines => {
                    out.push((format!("data.{name}"), Kind::Lines, true, false));
                    out.push((format!("flatten(list_transform(data.{name}, lambda l: l.parts))"), Kind::Int, false, false));
                }
                _ => {}
            }
        }
        for (name, _) in sight.state.iter().filter(|(_, kind)| *kind == Kind::Ints) {
            out.push((name.clone(), Kind::Int, false, true));
            out.push((format!("old.{name}"), Kind::Int, false, true));
        }
        out
    }

    fn key_expression(&mut self, kind: Kind, sight: &Sight) -> String {
        let may_be_null = self.skips && self.random.percent(15);
        let mut choices: Vec<String> = Vec::new();
        if kind == Kind::Int {
            choices.push("coalesce(data.n, 0) % 4".into());
            if may_be_null {
                choices.push("data.n % 4".into());
            }
            match sight.each {
                Some(Kind::Int) => choices.push("coalesce(each, 1) % 4".into()),
                Some(Kind::Lines) => choices.push("coalesce(each.qty, 2) % 4".into()),
                _ => {}
            }
        } else {
            choices.extend(["coalesce(data.k, 'none')".into(), "event.stream".into(), "left(event.type, 1)".into()]);
            if may_be_null {
                choices.push("data.k".into());
            }
            match sight.each {
                Some(Kind::Text) => choices.push("coalesce(each, '')".into()),
                Some(Kind::Lines) => choices.push("coalesce(each.sku, '?')".into()),
                _ => {}
            }
        }
        choices.swap_remove(self.random.below(choices.len()))
    }

    /// What a column becomes, kept small.
    fn new_value(&mut self, name: &str, kind: Kind, sight: &Sight) -> String {
        if name == "tiny" {
            return "tiny + data.n".into();
        }
        let value = self.expression(kind, sight, 2);
        match kind {
            Kind::Int => format!("({value}) % 1000"),
            Kind::Text => format!("right({value}, 12)"),
            Kind::Ints => format!("list_slice({value}, -6, -1)"),
            _ => value,
        }
    }

    fn expression(&mut self, kind: Kind, sight: &Sight, depth: usize) -> String {
        let mut leaves: Vec<String> = Vec::new();
        leaves.extend(sight.fields.iter().filter(|(_, of)| *of == kind).map(|(name, _)| format!("data.{name}")));
        for (name, _) in sight.state.iter().filter(|(_, of)| *of == kind) {
            leaves.push(name.clone());
            leaves.push(format!("old.{name}"));
        }
        if sight.each == Some(kind) && kind != Kind::Lines {
            leaves.extend(["each".into(), "each".into()]);
        }
        if sight.each_line {
            match kind {
                Kind::Int => leaves.push("each.qty".into()),
                Kind::Text => leaves.push("each.sku".into()),
                Kind::Ints => leaves.push("each.parts".into()),
                _ => {}
            }
        }
        let more: &[&str] = match kind {
            Kind::Int => &["1", "42", "NULL::INTEGER", "event.version", "length(event.stream)", "data.loose::INTEGER", "meta.v::INTEGER"],
            Kind::Dec => &["1.25", "0.05"],
            Kind::Text => &["'x'", "'ß'", "event.type", "event.stream", "meta.user.name", "data.loose::VARCHAR", "event.id"],
            Kind::Bool => &["true", "event.stream LIKE 'a-%'", "event.type <> 'A'"],
            Kind::Day => &["event.time::DATE", "DATE '2024-02-29'"],
            Kind::Time => &["event.time"],
            Kind::Ints => &["[1, 2]", "[]::INTEGER[]"],
            Kind::Texts => &["['x']"],
            Kind::Json => &["'{}'::JSON"],
            Kind::Map => &["MAP {'x': 1}"],
            Kind::Lines => &[],
        };
        if depth == 0 || self.random.percent(25) {
            let at = self.random.below(leaves.len() + more.len());
            return leaves.get(at).cloned().unwrap_or_else(|| more[at - leaves.len()].to_string());
        }
        let mut of = |kind: Kind| self.expression(kind, sight, depth - 1);
        let (a, b, c) = match kind {
            Kind::Int => (of(Kind::Int), of(Kind::Int), of(Kind::Bool)),
            Kind::Dec => (of(Kind::Dec), of(Kind::Dec), of(Kind::Int)),
            Kind::Text => (of(Kind::Text), of(Kind::Text), of(Kind::Int)),
            Kind::Bool => (of(Kind::Int), of(Kind::Int), of(Kind::Text)),
            Kind::Ints => (of(Kind::Ints), of(Kind::Ints), of(Kind::Int)),
            Kind::Map => (of(Kind::Map), of(Kind::Text), of(Kind::Int)),
            other => (of(other), of(other), of(Kind::Bool)),
        };
        let bools = (of(Kind::Bool), of(Kind::Bool));
        let choices: Vec<String> = match kind {
            Kind::Int => vec![
                format!("({a} + 1)"),
                format!("({a} + {b})"),
                format!("({a} * 3 % 101)"),
                format!("CASE WHEN {c} THEN {a} ELSE {b} END"),
                format!("coalesce({a}, {b})"),
                format!("greatest({a}, {b})"),
            ],
            Kind::Dec => vec![format!("({a} + {b})"), format!("({a} - 0.1)"), format!("({c} * 0.5)"), format!("coalesce({a}, {b})")],
            Kind::Text => vec![
                format!("({a} || {b})"),
                format!("upper({a})"),
                format!("coalesce({a}, 'x')"),
                format!("({c})::VARCHAR"),
                format!("concat({a}, '-', {b})"),
            ],
            Kind::Bool => vec![
                format!("{a} > {b}"),
                format!("{a} IS DISTINCT FROM {b}"),
                format!("{c} IS NULL"),
                format!("{c} > 'm'"),
                format!("({} AND {})", bools.0, bools.1),
                format!("({} OR {})", bools.0, bools.1),
                format!("NOT ({})", bools.0),
                format!("{a} IN (1, 2, 3)"),
            ],
            Kind::Ints => vec![
                format!("list_append({a}, {c})"),
                format!("list_concat({a}, {b})"),
                format!("list_filter({a}, lambda v: v > 1)"),
                format!("[{c}, 7]"),
            ],
            Kind::Map => vec![
                format!("map_put({a}, coalesce({b}, 'x'), {c})"),
                format!("map_put({a}, left(event.type, 1), {c})"),
                format!("map_remove({a}, {b})"),
            ],
            _ => vec![format!("coalesce({a}, {b})"), format!("CASE WHEN {c} THEN {a} ELSE {b} END")],
        };
        choices[self.random.below(choices.len())].clone()
    }
}
