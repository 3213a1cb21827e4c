//! What keeps `openapi.json` true. Each file holds it against one part of the code, in both directions where there are two: what
//! the code has and the document lacks is found, and what the document promises and the code does not have.

mod bounds;
mod choices;
mod codes;
mod routes;

use serde_json::Value;

use super::{ASYNCAPI, OPENAPI, tag};

fn openapi() -> Value {
    serde_json::from_str(OPENAPI).expect("openapi.json is JSON")
}

fn asyncapi() -> Value {
    serde_json::from_str(ASYNCAPI).expect("asyncapi.json is JSON")
}

/// Every operation, as path, method and what stands there.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations").iter();
        operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// What stands at a place, or where it refers to.
fn resolved<'a>(document: &'a Value, place: &'a Value) -> &'a Value {
    match place["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or_else(|| panic!("there is no {reference}")),
        None => place,
    }
}

#[test]
fn both_documents_are_of_this_version() {
    for document in [openapi(), asyncapi()] {
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_documents_tag_is_quoted_and_its_own() {
    let tags = [tag(OPENAPI), tag(ASYNCAPI)];
    assert_ne!(tags[0], tags[1]);
    for tag in tags {
        assert!(tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    }
}
