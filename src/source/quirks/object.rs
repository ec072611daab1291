//! A JSON object whose members are taken out, changed and written again; what is not touched keeps its text.

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in their order. Of several with one name the last one counts.
#[derive(Default)]
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Object<'a> {
    /// Checks a text to be a JSON object. The error says what it is instead.
    pub fn read(json: &'a str) -> Result<Object<'a>, String> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    object.members.push((name, Cow::Borrowed(value.get())));
                }
                Ok(object)
            }
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let object = reader.deserialize_map(Members).and_then(|object| reader.end().map(|()| object));
        object.map_err(|e| e.to_string())
    }

    /// The JSON of a member; `None` where it is missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().rev().find(|(own, _)| own == name).map(|(_, json)| &**json)
    }

    /// Its members in their order: name and JSON.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, json)| (&**name, &**json))
    }

    /// Takes a member out, with all others of its name.
    pub fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let mut taken = None;
        self.members.retain_mut(|(own, json)| {
            let found = own == name;
            if found {
                taken = Some(std::mem::take(json));
            }
            !found
        });
        taken
    }

    /// Replaces a member, or adds it behind the others.
    pub fn set(&mut self, name: &'a str, json: impl Into<Cow<'a, str>>) {
        let json = json.into();
        match self.members.iter_mut().rev().find(|(own, _)| own == name) {
            Some((_, old)) => *old = json,
            None => self.members.push((Cow::Borrowed(name), json)),
        }
    }

    /// Replaces a member that is there.
    pub fn replace(&mut self, name: &str, json: String) {
        if let Some((_, old)) = self.members.iter_mut().rev().find(|(own, _)| own == name) {
            *old = Cow::Owned(json);
        }
    }

    /// Writes it as one line of JSON, without spaces between its own members.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, json)) in self.members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            quote(name, out);
            out.push(':');
            out.push_str(json);
        }
        out.push('}');
    }
}

/// A name that is copied only where it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_string())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// Appends a text as a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // of a text it cannot fail
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// A text as a JSON string.
pub(in crate::source) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(text, &mut out);
    out
}

/// Whether a text is a number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = matches!(bytes, [b'-' | b'0'..=b'9', ..]) && matches!(bytes, [.., b'0'..=b'9']);
    ends && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Appends a text as a JSON number where it is one, else as a string.
pub(super) fn number_or_quote(text: &str, out: &mut String) {
    if is_number(text) { out.push_str(text) } else { quote(text, out) }
}

/// Appends bytes as a JSON string, `\x` and hexadecimal digits, as PostgreSQL writes them.
pub(super) fn quote_bytes(bytes: &[u8], out: &mut String) {
    out.push_str("\"\\\\x");
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.push(char::from_digit(half as u32, 16).unwrap_or('0'));
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_text_and_the_last_of_two_counts() {
        let text = r#"{ "a" : 1.50e+3, "b":{"c" : [1, 2]},"\u0064":123456789012345678901234567890,"a":2}"#;
        let mut object = Object::read(text).unwrap();
        assert_eq!((object.get("a"), object.get("d")), (Some("2"), Some("123456789012345678901234567890")));
        object.set("e", "true");
        assert_eq!(object.take("a").as_deref(), Some("2"));
        let mut out = String::new();
        object.write(&mut out);
        assert_eq!(out, r#"{"b":{"c" : [1, 2]},"d":123456789012345678901234567890,"e":true}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "null", "[]", "{}x", "{\"a\":}", "{\"a\":1"] {
            assert!(Object::read(text).is_err(), "{text}");
        }
    }
}
