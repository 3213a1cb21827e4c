//! The desk's router and the paths of `openapi.json`.

use std::collections::BTreeSet;

use super::{openapi, operations, resolved};
use crate::desk::Route;
use crate::metrics::Label;

/// `METHOD /path` of everything that the desk answers, but for what is there for the tests of WebSockets alone.
fn served() -> BTreeSet<String> {
    let routes = Route::ALL.iter().filter(|route| route.word() != "/echo");
    let methods =
        |route: &'static Route| route.allow().split(", ").map(|method| format!("{method} {}", written(*route)));
    routes.flat_map(methods).collect()
}

/// A path as OpenAPI writes it: the router takes slashes for a name with a star before it.
fn written(route: Route) -> String {
    route.word().replace("{*", "{")
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let document = openapi();
    let described = operations(&document).map(|(path, method, _)| format!("{} {path}", method.to_uppercase()));
    let (served, described) = (served(), described.collect::<BTreeSet<_>>());
    let missing: Vec<_> = served.difference(&described).collect();
    assert!(missing.is_empty(), "openapi.json does not describe {missing:?}");
    let idle: Vec<_> = described.difference(&served).collect();
    assert!(idle.is_empty(), "openapi.json describes what is not served: {idle:?}");
}

#[test]
fn operations_are_told_apart_by_their_ids() {
    let document = openapi();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no operationId"));
        assert!(ids.insert(id), "{id} is two operations");
    }
}

#[test]
fn every_name_in_a_path_is_a_parameter() {
    let document = openapi();
    for (path, method, operation) in operations(&document) {
        let names: BTreeSet<&str> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| resolved(&document, parameter));
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        let named: BTreeSet<&str> = in_path.filter_map(|parameter| parameter["name"].as_str()).collect();
        assert_eq!(named, names, "{method} {path}");
    }
}

#[test]
fn the_routes_that_become_sockets_are_those_that_are_described_so() {
    let document = openapi();
    let switching = operations(&document).filter(|(_, _, operation)| operation["responses"]["101"].is_object());
    let described: BTreeSet<&str> = switching.map(|(path, _, _)| path).collect();
    assert_eq!(described, BTreeSet::from(["/v1/ws", "/ws", "/ws/alerts"]));
}
