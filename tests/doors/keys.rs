//! API keys, pages of other sites, and what the server says of itself.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{CHAT, chat, is_servable};
use crate::support::{
    Folder, Node, Response, get, json_stdout, post, program, request, run, signal, stderr,
};

/// One GET with another header.
fn get_with(node: &Node, path: &str, header: &str) -> Response {
    request(node.http(), &format!("GET {path} HTTP/1.1\r\n{header}"), "")
}

fn create(node: &Node, name: &str) -> String {
    let made = json_stdout(&node.run(&["key", "create", "--name", name, "--json"]));
    made["key"].as_str().expect("a key").to_owned()
}

#[test]
fn once_there_is_a_key_everybody_needs_one_until_it_is_revoked() {
    let node = Node::serve(&[]);
    assert_eq!(get(node.http(), "/v1/models").status, 200);
    let (first, second) = (create(&node, "laptop"), create(&node, "phone"));
    let refused = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (401, json!("invalid_api_key"))
    );
    assert!(refused.headers.contains("www-authenticate: bearer"), "{}", refused.headers);
    for header in [
        format!("Authorization: Bearer {first}"),
        format!("authorization: bearer {second}"),
        format!("x-api-key: {first}"),
        // A token for somebody else beside the key, as agents send it.
        format!("Authorization: Bearer other\r\nx-api-key: {first}"),
        format!("Authorization: Bearer {first}\r\nx-api-key: other"),
    ] {
        assert_eq!(get_with(&node, "/v1/models", &header).status, 200, "{header}");
    }
    let anthropic = post(node.http(), "/v1/messages", &json!({}));
    assert_eq!(
        (anthropic.status, anthropic.json()["error"]["type"].clone()),
        (401, json!("authentication_error"))
    );
    let ollama = post(node.http(), "/api/chat", &json!({}));
    assert!(ollama.status == 401 && ollama.json()["error"].is_string(), "{ollama:?}");
    for header in ["Authorization: Bearer swk-00", "x-api-key: ", "Authorization: Basic a"] {
        assert_eq!(get_with(&node, "/v1/models", header).status, 401, "{header}");
    }
    assert_eq!(get(node.http(), "/metrics").status, 401);
    for open in ["/", "/health", "/v1/health", "/ready", "/docs", "/openapi.json"] {
        assert_eq!(get(node.http(), open).status, 200, "{open}");
    }
    let listed = json_stdout(&node.run(&["key", "list", "--json"]));
    assert_eq!(listed["keys"][1]["name"], "phone");
    assert!(!listed.to_string().contains(&second[4..]), "{listed}");
    let revoked = node.run(&["key", "revoke", "phone"]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert_eq!(get_with(&node, "/v1/models", &format!("x-api-key: {second}")).status, 401);
    let id = listed["keys"][0]["id"].as_str().expect("an id");
    assert!(node.run(&["key", "revoke", id]).status.success());
    assert_eq!(get(node.http(), "/v1/models").status, 200);
    let again = node.run(&["key", "revoke", id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("swarmllm key list"), "{}", stderr(&again));
}

#[test]
fn keys_can_be_made_before_the_node_runs_and_are_private() {
    let folder = Folder::new();
    let path = folder.path().to_string_lossy().into_owned();
    let made = run(&["key", "create", "--name", "early", "--data-dir", &path]);
    let key = String::from_utf8(made.stdout.clone()).expect("text").trim().to_owned();
    assert!(made.status.success() && key.starts_with("swk-"), "{}", stderr(&made));
    assert!(stderr(&made).contains("x-api-key"), "{}", stderr(&made));
    let file = folder.path().join("api-keys.json");
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).expect("text").contains(&key[4..]));
    let node = Node::serve_in(folder, &[]);
    assert_eq!(get(node.http(), "/v1/models").status, 401);
    assert_eq!(get_with(&node, "/v1/models", &format!("x-api-key: {key}")).status, 200);
}

#[test]
fn beyond_loopback_nobody_is_let_in_without_a_key() {
    let folder = Folder::new();
    let command = |variables: &[(&str, &str)]| {
        let mut command = program();
        command.args(["serve", "--http", "0.0.0.0:0", "--listen", "127.0.0.1:0", "--no-mdns"]);
        command.arg("--data-dir").arg(folder.path()).envs(variables.iter().copied());
        command.stdin(std::process::Stdio::null());
        command
    };
    // A closed stdin ends the node that starts.
    let serve = |variables: &[(&str, &str)]| {
        command(variables).arg("--until-stdin-closes").output().expect("the program starts")
    };
    let refused = command(&[]).output().expect("the program starts");
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("swarmllm key create") && said.contains("http.open"), "{said}");
    let opened = serve(&[("SWARMLLM_HTTP__OPEN", "true")]);
    assert_eq!(opened.status.code(), Some(0), "{}", stderr(&opened));
    let data = folder.path().to_string_lossy().into_owned();
    assert!(run(&["key", "create", "--data-dir", &data]).status.success());
    assert_eq!(serve(&[]).status.code(), Some(0));
}

#[test]
fn pages_ask_first_and_only_known_ones_may() {
    let node = Node::serve(&[]);
    let preflight = |origin: &str| {
        let head = format!(
            "OPTIONS {CHAT} HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\
             \r\nAccess-Control-Request-Headers: authorization,x-stainless-os"
        );
        request(node.http(), &head, "")
    };
    let own = preflight("http://localhost:3000");
    assert_eq!(own.status, 204, "{own:?}");
    for header in [
        "access-control-allow-origin: http://localhost:3000",
        "access-control-allow-headers: authorization,x-stainless-os",
        "access-control-allow-methods: get, head, post, delete",
        "vary: origin",
    ] {
        assert!(own.headers.contains(header), "{header} in {}", own.headers);
    }
    assert_eq!(preflight("https://evil.example").status, 403);
    assert_eq!(get_with(&node, "/v1/models", "Origin: null").status, 403);
    let read = get_with(&node, "/v1/models", "Origin: http://127.0.0.1:5173");
    assert!(read.headers.contains("access-control-allow-origin: http://127.0.0.1:5173"));
    let shown = read.headers.lines().find(|line| line.starts_with("access-control-expose"));
    let shown = shown.expect("headers that a page may read");
    for name in ["x-request-id", "retry-after-ms", "x-should-retry", "mcp-session-id"] {
        assert!(shown.contains(name), "{name} in {shown}");
    }
    // A key is needed for the request, not for the question before it.
    create(&node, "k");
    assert_eq!(preflight("http://localhost:3000").status, 204);
}

#[test]
fn allowed_origins_come_from_the_settings() {
    let folder = Folder::new();
    let file = folder.path().join("s.toml");
    std::fs::write(&file, "[http]\norigins = [\"https://chat.example\"]\n").expect("writable");
    let node = Node::serve_in(folder, &["--config", &file.to_string_lossy()]);
    let page = get_with(&node, "/v1/models", "Origin: https://chat.example");
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("access-control-allow-origin: https://chat.example"));
    assert_eq!(get_with(&node, "/v1/models", "Host: chat.example").status, 200);
    assert_eq!(get_with(&node, "/v1/models", "Host: other.example").status, 403);
}

#[test]
fn the_server_says_who_it_is_what_it_has_and_what_is_wrong() {
    let node = Node::serve(&[]);
    let to = node.http();
    assert!(get(to, "/").body.starts_with("SwarmLLM "));
    let head = request(to, "HEAD / HTTP/1.1", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(get(to, "/v1/health").json(), json!({"status": "ok"}));
    assert_eq!(get(to, "/version").json()["name"], "swarmllm");
    let wrong = request(to, "DELETE /v1/models HTTP/1.1", "");
    assert_eq!(wrong.status, 405);
    assert!(wrong.headers.contains("allow: get"), "{}", wrong.headers);
    assert_eq!(wrong.json()["error"]["code"], "method_not_allowed");
    let nowhere = get(to, "/v2/nothing");
    assert_eq!(nowhere.status, 404);
    let message = nowhere.json()["error"]["message"].as_str().expect("text").to_owned();
    assert!(message.contains("/v1/chat/completions") && message.contains("/api/chat"), "{message}");
    assert!(get(to, "/api/nothing").json()["error"].is_string());
    let metrics = get(to, "/metrics").body;
    let line =
        "swarmllm_http_requests_total{path=\"/v1/models\",method=\"DELETE\",status=\"405\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    let strangers = "{path=\"other\",method=\"GET\",status=\"404\"} 2";
    assert!(metrics.contains(strangers), "{metrics}");
}

#[test]
fn what_can_t_be_read_is_told_to_its_sender_and_not_to_the_log() {
    let mut node = Node::serve(&[]);
    for (path, part) in [
        (CHAT, "\"code\":\"content_encoding\""),
        ("/v1/messages", "invalid_request_error"),
        ("/api/chat", "content-encoding"),
        ("/mcp", "\"code\":-32600"),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Encoding: gzip");
        let refused = request(node.http(), &head, "{}");
        assert!(refused.status == 415 && refused.body.contains(part), "{refused:?}");
    }
    assert_eq!(request(node.http(), "GET / HTTP/9.9", "").status, 400);
    signal("TERM", node.pid());
    node.log.wait_for_end();
    assert!(!node.log.seen.iter().any(|line| line.contains("ERROR")), "{:#?}", node.log.seen);
}

#[test]
fn a_node_is_ready_when_its_model_has_all_layers() {
    let first = Node::serve(&["--layers", "0-2"]);
    let missing = get(first.http(), "/ready");
    assert_eq!((missing.status, missing.json()["status"].clone()), (503, json!("not_ready")));
    assert!(missing.headers.contains("retry-after: "), "{}", missing.headers);
    assert_eq!(get(first.http(), "/health").status, 200);
    let _second = Node::serve(&["--layers", "2-6", "--join", &first.listen()]);
    first.control().wait_until("models", is_servable);
    let ready = get(first.http(), "/ready");
    assert_eq!((ready.status, ready.json()["models"][0]["servable"].clone()), (200, json!(true)));
    assert_eq!(get(first.http(), "/ready?model=demo").status, 200);
    assert_eq!(get(first.http(), "/ready?model=other").status, 404);
}

#[test]
fn text_can_be_looked_at_as_the_model_reads_it() {
    let node = Node::serve(&[]);
    let to = node.http();
    let tokens = post(to, "/tokenize", &json!({"content": "Hello swarm"})).json();
    let ids = tokens["tokens"].clone();
    assert_eq!(tokens["count"], ids.as_array().expect("ids").len());
    let back = post(to, "/detokenize", &json!({"tokens": ids})).json();
    assert_eq!((&back["content"], &back["prompt"]), (&json!("Hello swarm"), &json!("Hello swarm")));
    let pieces = post(to, "/tokenize", &json!({"content": "Hello swarm", "with_pieces": true}));
    let pieces = pieces.json()["tokens"].as_array().expect("pieces").clone();
    let text: String = pieces.iter().map(|piece| piece["piece"].as_str().expect("text")).collect();
    assert_eq!(text, "Hello swarm");
    let messages = json!([{"role": "user", "content": "What is SwarmLLM?"}]);
    let rendered = post(to, "/apply-template", &json!({"messages": messages})).json();
    assert!(rendered["prompt"].as_str().expect("text").contains("What is SwarmLLM?"));
    let counted = post(to, "/tokenize", &json!({"model": "demo", "messages": messages})).json();
    let answered = post(to, CHAT, &chat(json!({"max_tokens": 1}))).json();
    assert_eq!(counted["count"], answered["usage"]["prompt_tokens"]);
    for (path, body, status) in [
        ("/tokenize", json!({}), 400),
        ("/tokenize", json!({"content": 3}), 400),
        ("/tokenize", json!({"model": "other", "content": "a"}), 404),
        ("/detokenize", json!({"tokens": [1_000_000]}), 400),
        ("/detokenize", json!({"tokens": [-1]}), 400),
        ("/apply-template", json!({"messages": 1}), 400),
        ("/apply-template", json!({"messages": [1]}), 200),
        ("/apply-template", json!({"messages": messages, "tools": [5, {}, {"function": 1}]}), 200),
    ] {
        let answer = post(to, path, &body);
        assert_eq!(answer.status, status, "{path} {body} {answer:?}");
    }
}

#[test]
fn the_description_names_every_door_and_loads_nothing() {
    let node = Node::serve(&[]);
    let document = get(node.http(), "/openapi.json").json();
    for path in [CHAT, "/api/chat", "/ready", "/metrics", "/v1/models/{id}"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let fields = &document["components"]["schemas"]["ChatCompletionRequest"]["properties"];
    assert_eq!(fields["messages"]["type"], "array");
    let page = get(node.http(), "/docs");
    assert!(page.headers.contains("content-type: text/html"), "{}", page.headers);
    for part in ["/v1/chat/completions", "max_completion_tokens", "/api/tags"] {
        assert!(page.body.contains(part), "{part}");
    }
    for loader in ["<script", "src=", "url(", "@import", "<link", "http://", "https://"] {
        assert!(!page.body.contains(loader), "{loader}");
    }
}

#[test]
fn a_key_is_the_client_that_shares_the_node() {
    let node = Node::serve(&[]);
    let key = create(&node, "k");
    let mut control = node.control();
    let made = control.result("key.create", json!({"name": "over-the-socket"}));
    assert!(made["key"].as_str().expect("a key").starts_with("swk-"));
    let (_, taken) = control.call("key.create", json!({"name": "k"}));
    assert_eq!(taken["error"]["code"], -32602);
    let asked: Value = chat(json!({"max_tokens": 2}));
    let head = format!("POST {CHAT} HTTP/1.1\r\nAuthorization: Bearer {key}");
    assert_eq!(request(node.http(), &head, &asked.to_string()).status, 200);
}
