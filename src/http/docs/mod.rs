//! `/openapi.json` and `/docs`: what all doors take and answer, from the code.
//!
//! Called by `server.rs`. `operations.rs` is the table of paths and methods, `schemas.rs` the
//! shapes of bodies, `page.rs` writes the page. The table is also what a 405 says is allowed, and
//! what a 404 lists; a test compares it with the routes that the server really has. The page is one
//! file without scripts and asks nobody for anything.

mod operations;
mod page;
mod schemas;

use std::{collections::BTreeMap, sync::LazyLock};

use actix_web::{HttpResponse, web};
use serde_json::Value;
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder,
    Paths, Ref, RefOr, Required, ResponseBuilder,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{ObjectBuilder, Schema, Type},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    tag::TagBuilder,
};

use operations::{Answer, GROUPS, Group, Operation, Shape};

/// What the page may load: its own style.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'";

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&document()).unwrap_or_default());
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&DOCUMENT).unwrap_or_default();
    page::render(&document)
});

/// Its paths.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/openapi.json").route(web::get().to(openapi)))
        .service(web::resource("/docs").route(web::get().to(docs)));
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

async fn docs() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", PAGE_POLICY))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(PAGE.as_str())
}

/// Methods of a path, as the router writes its pattern.
pub(super) fn methods_at(pattern: &str) -> Vec<&'static str> {
    let path = declared(pattern);
    operations().filter(|(_, operation)| operation.path == path).map(|(_, o)| o.method).collect()
}

/// Paths without parts that vary.
pub(super) fn doors() -> Vec<&'static str> {
    let mut paths: Vec<_> = operations().map(|(_, operation)| operation.path).collect();
    paths.dedup();
    paths.retain(|path| !path.contains('{'));
    paths
}

/// A pattern of the router as a path of the document: `{id:.+}` is `{id}`.
pub(super) fn declared(pattern: &str) -> String {
    let part = |part: &str| match part.split_once(':') {
        Some((name, _)) if name.starts_with('{') => format!("{name}}}"),
        _ => part.to_owned(),
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn operations() -> impl Iterator<Item = (&'static Group, &'static Operation)> {
    GROUPS.iter().flat_map(|group| group.operations.iter().map(move |one| (group, one)))
}

fn document() -> OpenApi {
    let mut schemas = BTreeMap::new();
    let mut paths = Paths::new();
    for (group, operation) in operations() {
        let described = described(group, operation, &mut schemas);
        paths.add_path_operation(operation.path, vec![http_method(operation.method)], described);
    }
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("bearer", bearer)
        .security_scheme("x-api-key", header);
    let info =
        InfoBuilder::new().title("SwarmLLM").version(env!("CARGO_PKG_VERSION")).description(Some(
            "A language model split over the machines of a swarm, in the dialects that programs \
             speak. On loopback no API key is needed as long as none was made.",
        ));
    let tags = GROUPS
        .iter()
        .map(|group| TagBuilder::new().name(group.name).description(Some(group.about)).build());
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

type Schemas = BTreeMap<String, RefOr<Schema>>;

fn described(
    group: &Group,
    operation: &Operation,
    schemas: &mut Schemas,
) -> utoipa::openapi::path::Operation {
    let id = format!("{} {}", operation.method, operation.path);
    let id: Vec<&str> =
        id.split(|c: char| !c.is_alphanumeric()).filter(|s| !s.is_empty()).collect();
    let mut builder = OperationBuilder::new()
        .tag(group.name)
        .summary(Some(operation.summary))
        .operation_id(Some(id.join("_").to_lowercase()))
        .security(SecurityRequirement::default())
        .security(SecurityRequirement::new("bearer", [""; 0]))
        .security(SecurityRequirement::new("x-api-key", [""; 0]));
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    for name in operation.path.split('/').filter_map(|part| part.strip_prefix('{')) {
        let parameter = ParameterBuilder::new()
            .name(name.trim_end_matches('}'))
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(text()));
        builder = builder.parameter(parameter);
    }
    for (name, about) in operation.query {
        let parameter = ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Query)
            .description(Some(*about))
            .schema(Some(text()));
        builder = builder.parameter(parameter);
    }
    if let Some(shape) = &operation.body {
        let body = RequestBodyBuilder::new()
            .content("application/json", content(shape, schemas))
            .required(Some(Required::True));
        builder = builder.request_body(Some(body.build()));
    }
    let error = ResponseBuilder::new()
        .description("What went wrong, why, and what to do next.")
        .content("application/json", content(&group.error, schemas));
    let mut done = ResponseBuilder::new().description("Done.");
    done = match &operation.answer {
        Answer::Nothing => done,
        Answer::Of(media) => done.content(*media, Content::default()),
        Answer::Json(shape) => done.content("application/json", content(shape, schemas)),
        Answer::Streamed(shape, media) => {
            let whole = done.content("application/json", content(shape, schemas));
            whole.content(*media, Content::default())
        }
    };
    let done = done.build();
    let statuses = operation.statuses.iter().map(|status| (*status, done.clone()));
    let builder = statuses.fold(builder, |builder, (status, done)| builder.response(status, done));
    match operation.answer {
        // What has no body has none for errors either.
        Answer::Nothing => {
            builder.response("default", ResponseBuilder::new().description("Error."))
        }
        _ => builder.response("default", error),
    }
    .build()
}

/// A reference to a shape, which is noted with all that it consists of.
fn content(shape: &Shape, schemas: &mut Schemas) -> Content {
    let mut parts = Vec::new();
    (shape.parts)(&mut parts);
    let name = (shape.name)().into_owned();
    schemas.extend(parts);
    schemas.insert(name.clone(), (shape.schema)());
    ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build()
}

fn http_method(name: &str) -> HttpMethod {
    match name {
        "HEAD" => HttpMethod::Head,
        "POST" => HttpMethod::Post,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::{App, HttpRequest, http::Method, test as client};

    use super::*;

    /// Paths of every route, out of what the router shows of itself: scopes have routes within.
    fn paths_of(request: &HttpRequest) -> BTreeSet<String> {
        let shown = format!("{:#?}", request.resource_map());
        let lines: Vec<&str> = shown.lines().collect();
        let entries = lines.windows(2).filter_map(|pair| {
            let indent = pair[0].len() - pair[0].trim_start().len();
            let pattern = pair[1].trim().strip_prefix('"')?.split('"').next()?;
            pair[0].trim().starts_with("patterns: Single").then_some((indent, pattern))
        });
        let (mut open, mut paths) = (Vec::<(usize, String)>::new(), BTreeSet::new());
        let mut entries = entries.peekable();
        while let Some((indent, pattern)) = entries.next() {
            open.retain(|(outer, _)| *outer < indent);
            let within = open.last().map(|(_, path)| path.as_str()).unwrap_or_default();
            let path = format!("{within}{}", declared(pattern));
            let is_scope = entries.peek().is_some_and(|(next, _)| *next > indent);
            if !is_scope {
                paths.insert(path.clone());
            }
            open.push((indent, path));
        }
        paths
    }

    #[actix_web::test]
    async fn what_is_declared_is_what_the_server_has() {
        let app = App::new().configure(crate::http::server::routes).route(
            "/of-the-test",
            web::get().to(async |request: HttpRequest| HttpResponse::Ok().json(paths_of(&request))),
        );
        let app = client::init_service(app).await;
        let asked = client::TestRequest::get().uri("/of-the-test").to_request();
        let mut found: BTreeSet<String> = client::call_and_read_body_json(&app, asked).await;
        assert!(found.remove("/of-the-test"));
        let declared: BTreeSet<String> =
            operations().map(|(_, operation)| operation.path.to_owned()).collect();
        assert_eq!(found, declared);
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        for path in &declared {
            let uri = path.replace(['{', '}'], "");
            for method in &methods {
                let request = client::TestRequest::with_uri(&uri).method(method.clone());
                let answer = client::call_service(&app, request.to_request()).await;
                let is_declared = methods_at(path).contains(&method.as_str());
                // Without a node handlers fail, but they are found.
                assert_eq!(answer.status() != 405, is_declared, "{method} {path}: {answer:?}");
            }
        }
    }

    #[test]
    fn the_document_is_complete_in_itself() {
        let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        let text = DOCUMENT.as_str();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        let ids: Vec<_> = text.split("\"operationId\":\"").skip(1).collect();
        let ids: Vec<_> = ids.iter().filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.len(), BTreeSet::from_iter(&ids).len(), "{ids:?}");
    }

    #[test]
    fn patterns_of_the_router_are_paths_of_the_document() {
        assert_eq!(declared("/v1/models/{id:.+}"), "/v1/models/{id}");
        assert_eq!(declared("/a/{b}/c"), "/a/{b}/c");
        assert!(doors().contains(&"/v1/chat/completions"));
        assert_eq!(methods_at("/v1/models/{id:.+}"), ["GET"]);
        assert_eq!(methods_at("/health"), ["GET", "HEAD"]);
    }
}
