//! JSON of the reference: typed values out of it, upcasters on it.

use std::sync::Arc;

use foldline::sql::{MapEntries, Type, Value, cast_text, to_text};
use serde_json::{Map, Value as Json};

/// The value at a path of object keys; null and nothing are one.
pub fn at<'a>(json: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(json, |json, key| json.as_object()?.get(key)).filter(|json| !json.is_null())
}

/// `->>`
pub fn as_text(json: Option<&Json>) -> Value {
    match json {
        None => Value::Null,
        Some(Json::String(text)) => Value::text(text),
        Some(other) => Value::text(other.to_string()),
    }
}

/// JSON as a value of a contract's type.
pub fn convert(json: Option<&Json>, ty: &Type) -> Result<Value, String> {
    let Some(json) = json.filter(|json| !json.is_null()) else { return Ok(Value::Null) };
    let misfit = || format!("{json} is no {ty}");
    match (ty, json) {
        (Type::Varchar, json) => Ok(as_text(Some(json))),
        (Type::Json, json) => Ok(Value::text(json.to_string())),
        (Type::Boolean, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Type::List(inner), Json::Array(items)) => {
            Ok(Value::List(Arc::new(items.iter().map(|item| convert(Some(item), inner)).collect::<Result<_, _>>()?)))
        }
        (Type::Struct(fields), Json::Object(members)) => {
            let values = fields.iter().map(|(name, ty)| convert(members.get(name), ty)).collect::<Result<_, _>>()?;
            Ok(Value::Struct(Arc::new(values)))
        }
        (Type::Map(key_type, value_type), Json::Object(members)) => {
            let mut entries = MapEntries::default();
            for (key, value) in members {
                entries.insert(cast_text(key, key_type).map_err(|e| e.0)?, convert(Some(value), value_type)?);
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        (Type::Decimal { scale, .. }, Json::Number(_) | Json::String(_)) => {
            let Value::Text(text) = as_text(Some(json)) else { return Err(misfit()) };
            let digits = text.split_once('.').map_or("", |(_, digits)| digits.trim_end_matches('0'));
            if digits.len() > *scale as usize {
                return Err(misfit());
            }
            cast_text(&text, ty).map_err(|e| e.0)
        }
        (ty, Json::Number(number)) if ty.is_integer() => match number.as_i64() {
            Some(_) => cast_text(&number.to_string(), ty).map_err(|e| e.0),
            None => Err(misfit()),
        },
        (Type::BigInt | Type::Date | Type::Time | Type::Timestamp | Type::Uuid, Json::String(text)) => cast_text(text, ty).map_err(|e| e.0),
        _ => Err(misfit()),
    }
}

/// A value as JSON, by its type.
pub fn to_json(value: &Value, ty: &Type) -> Json {
    match (value, ty) {
        (Value::Null, _) => Json::Null,
        (Value::Bool(value), _) => Json::Bool(*value),
        (Value::Text(text), Type::Json) => serde_json::from_str(text).unwrap(),
        (Value::Text(text), _) => Json::String(text.to_string()),
        (Value::List(items), Type::List(inner)) => items.iter().map(|item| to_json(item, inner)).collect(),
        (Value::Struct(values), Type::Struct(fields)) => {
            Json::Object(values.iter().zip(fields).map(|(value, (name, ty))| (name.clone(), to_json(value, ty))).collect())
        }
        (_, ty) if ty.is_integer() || ty.is_decimal() => serde_json::from_str(&to_text(value, ty).unwrap()).unwrap(),
        _ => Json::String(to_text(value, ty).unwrap()),
    }
}

/// Sets a field; objects on the way are made. Another value in the way is an error.
pub fn set(json: &mut Json, path: &[String], value: Json) -> Result<(), String> {
    if json.is_null() {
        *json = Json::Object(Map::new());
    }
    let Json::Object(members) = json else { return Err(format!("{json} is in the way")) };
    match path {
        [last] => {
            members.insert(last.clone(), value);
            Ok(())
        }
        [first, rest @ ..] => set(members.entry(first.clone()).or_insert(Json::Null), rest, value),
        [] => Ok(()),
    }
}

/// Removes a field, if it is there.
pub fn drop(json: &mut Json, path: &[String]) {
    let Json::Object(members) = json else { return };
    match path {
        [last] => {
            members.shift_remove(last);
        }
        [first, rest @ ..] => {
            if let Some(inner) = members.get_mut(first) {
                drop(inner, rest);
            }
        }
        [] => {}
    }
}
