//! The JSON Schema of a scenario, printed from the table of keys.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, LOAD_COMMON, LOADS, SCENARIO};
use crate::model::catalogue;

/// The schema (draft 2020-12), for editors that complete TOML.
pub fn schema() -> Value {
    let mut schema = object(SCENARIO.iter());
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!("stressor scenario"));
    }
    schema
}

fn object<'a>(keys: impl Iterator<Item = &'a Key>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        let mut value = value(key.kind);
        if let Value::Object(map) = &mut value {
            map.insert("description".into(), json!(key.doc));
        }
        properties.insert(key.name.into(), value);
        if key.required {
            required.push(key.name);
        }
    }
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn value(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path => json!({"type": "string"}),
        Kind::Name => json!({"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"}),
        Kind::Duration(..) => {
            json!({"type": "string", "pattern": "^([0-9.]+ *(ms|s|m|min|h|d|w|y) *)+$"})
        }
        Kind::Size(percent) => {
            let unit = if percent { "([KMGT]?i?[Bb]?|%)" } else { "[KMGT]?i?[Bb]?" };
            json!({"anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": format!("^[0-9.]+ *{unit}$")},
            ]})
        }
        Kind::Integer(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Kind::Number(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Workers => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65536},
            {"type": "string", "pattern": "^(per-core|[0-9.]+x-cores|[0-9]+)$"},
        ]}),
        Kind::Cores => {
            json!({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1023}, "minItems": 1})
        }
        Kind::Address => json!({"type": "string", "pattern": "^.+:[0-9]{1,5}$"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Numbers => {
            json!({"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 1})
        }
        Kind::Signal => json!({"enum": catalogue::names()}),
        Kind::Pattern => json!({"type": "string", "format": "regex"}),
        Kind::Stat => {
            json!({"type": "string", "pattern": "^(mean|avg|min|max|last|median|p[0-9]{1,3})$"})
        }
        Kind::Url | Kind::LoadUrl => json!({"type": "string", "pattern": "^https?://"}),
        Kind::Fsync => {
            json!({"anyOf": [{"enum": ["never", "end"]}, {"type": "integer", "minimum": 1}]})
        }
        Kind::Table(keys) => object(keys.iter()),
        Kind::Tables(keys) => json!({"type": "array", "items": object(keys.iter())}),
        Kind::Loads => {
            let kinds: Vec<Value> = LOADS
                .iter()
                .map(|kind| {
                    let mut table = object(LOAD_COMMON.iter().chain(kind.keys));
                    if let Some(properties) = table.get_mut("properties") {
                        properties["kind"] = json!({"const": kind.name, "description": kind.doc});
                    }
                    table
                })
                .collect();
            json!({"type": "array", "items": {"oneOf": kinds}})
        }
    }
}
