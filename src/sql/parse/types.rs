//! The names of types: `DECIMAL(10,2)`, `STRUCT(a INTEGER)[]`, `MAP(VARCHAR, DATE)`.

use super::*;

impl Parser {
    /// A type's name with its parameters and any `[]` behind it.
    pub fn data_type(&mut self) -> Parsed<Type> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(error("this type nests too deep", self.span()));
        }
        let span = self.span();
        let name = self.name("a type")?.name.to_ascii_lowercase();
        let mut ty = match name.as_str() {
            "struct" | "row" => self.struct_type()?,
            "map" => {
                self.want_sign("(")?;
                let key = self.data_type()?;
                self.want_sign(",")?;
                let value = self.data_type()?;
                self.want_sign(")")?;
                Type::Map(Box::new(key), Box::new(value))
            }
            "decimal" | "numeric" | "dec" => self.decimal_type()?,
            "double" => {
                self.take_word("precision");
                Type::Double
            }
            "timestamp" | "datetime" | "time" => {
                let zone = if self.take_word("with") {
                    true
                } else {
                    if self.take_word("without") {
                        self.at -= 1;
                        self.advance();
                        self.want_word("time")?;
                        self.want_word("zone")?;
                    }
                    false
                };
                if zone {
                    self.want_word("time")?;
                    self.want_word("zone")?;
                }
                match (name.as_str(), zone) {
                    ("time", true) => return Err(error("TIME WITH TIME ZONE is not part of the expression language", span)),
                    ("time", false) => Type::Time,
                    (_, true) => Type::TimestampTz,
                    (_, false) => Type::Timestamp,
                }
            }
            other => {
                let ty = simple_type(other).ok_or_else(|| unknown_type(other, span.clone()))?;
                if matches!(ty, Type::Varchar) && self.take_sign("(") {
                    // DuckDB reads VARCHAR(n) and ignores n.
                    self.small_number()?;
                    self.want_sign(")")?;
                }
                ty
            }
        };
        let mut levels = if self.sign("[") { levels_of(&ty) } else { 0 };
        while self.sign("[") {
            levels += 1;
            if levels > DEPTH_MAX {
                return Err(error("this type nests too deep", self.span()));
            }
            self.advance();
            if !self.take_sign("]") {
                return Err(error("arrays of fixed size are not part of the expression language; use a list: `T[]`", self.span()));
            }
            ty = Type::List(Box::new(ty));
        }
        self.depth -= 1;
        Ok(ty)
    }

    fn struct_type(&mut self) -> Parsed<Type> {
        self.want_sign("(")?;
        let mut fields: Vec<(String, Type)> = Vec::new();
        loop {
            let span = self.span();
            let name = self.name("a field's name")?.name;
            if fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
                return Err(error(format!("the struct has two fields `{name}`"), span));
            }
            fields.push((name, self.data_type()?));
            if !self.take_sign(",") {
                break;
            }
        }
        self.want_sign(")")?;
        Ok(Type::Struct(fields))
    }

    fn decimal_type(&mut self) -> Parsed<Type> {
        let span = self.span();
        let (mut width, mut scale) = (18, 3);
        if self.take_sign("(") {
            width = self.small_number()?;
            scale = if self.take_sign(",") { self.small_number()? } else { 0 };
            self.want_sign(")")?;
        }
        if !(1..=38).contains(&width) || scale > width {
            return Err(error("DECIMAL(width, scale) wants a width from 1 to 38 and a scale up to the width", span));
        }
        Ok(Type::Decimal { width, scale })
    }

    fn small_number(&mut self) -> Parsed<u8> {
        let Token::Number(number) = self.peek() else {
            return Err(error(format!("a number is missing before {}", describe(self.peek())), self.span()));
        };
        let number = number.parse::<u32>().map_err(|_| error("a whole number is wanted here", self.span()))?;
        self.advance();
        Ok(number.min(255) as u8)
    }
}

const TYPES: &[(&str, Type)] = &[
    ("boolean", Type::Boolean),
    ("bool", Type::Boolean),
    ("logical", Type::Boolean),
    ("tinyint", Type::TinyInt),
    ("int1", Type::TinyInt),
    ("smallint", Type::SmallInt),
    ("int2", Type::SmallInt),
    ("short", Type::SmallInt),
    ("int16", Type::SmallInt),
    ("integer", Type::Integer),
    ("int", Type::Integer),
    ("int4", Type::Integer),
    ("int32", Type::Integer),
    ("integral", Type::Integer),
    ("signed", Type::Integer),
    ("bigint", Type::BigInt),
    ("int8", Type::BigInt),
    ("int64", Type::BigInt),
    ("long", Type::BigInt),
    ("oid", Type::BigInt),
    ("hugeint", Type::HugeInt),
    ("int128", Type::HugeInt),
    ("utinyint", Type::UTinyInt),
    ("uint8", Type::UTinyInt),
    ("usmallint", Type::USmallInt),
    ("uint16", Type::USmallInt),
    ("uinteger", Type::UInteger),
    ("uint32", Type::UInteger),
    ("ubigint", Type::UBigInt),
    ("uint64", Type::UBigInt),
    ("float", Type::Float),
    ("float4", Type::Float),
    ("real", Type::Float),
    ("float8", Type::Double),
    ("varchar", Type::Varchar),
    ("text", Type::Varchar),
    ("string", Type::Varchar),
    ("char", Type::Varchar),
    ("bpchar", Type::Varchar),
    ("nvarchar", Type::Varchar),
    ("blob", Type::Blob),
    ("bytea", Type::Blob),
    ("binary", Type::Blob),
    ("varbinary", Type::Blob),
    ("date", Type::Date),
    ("timestamptz", Type::TimestampTz),
    ("timestamp_us", Type::Timestamp),
    ("interval", Type::Interval),
    ("uuid", Type::Uuid),
    ("guid", Type::Uuid),
    ("json", Type::Json),
];

/// How deep a type nests; a simple one does not.
fn levels_of(ty: &Type) -> usize {
    match ty {
        Type::List(inner) => levels_of(inner) + 1,
        Type::Map(key, value) => levels_of(key).max(levels_of(value)) + 1,
        Type::Struct(fields) => fields.iter().map(|(_, ty)| levels_of(ty)).max().unwrap_or(0) + 1,
        _ => 0,
    }
}

fn simple_type(name: &str) -> Option<Type> {
    TYPES.iter().find(|(n, _)| *n == name).map(|(_, ty)| ty.clone())
}

fn unknown_type(name: &str, span: Range<usize>) -> CompileError {
    let names = TYPES.iter().map(|(n, _)| *n).chain(["decimal", "double", "timestamp", "time", "struct", "map"]);
    let help = crate::sql::functions::nearest(name, names).map(|near| format!("did you mean `{}`?", near.to_uppercase()));
    CompileError { message: format!("no type `{name}`"), help, span }
}
