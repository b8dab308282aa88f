//! Promises of the MCP server, over HTTP and stdio, in both eras; and of `connect`.
//!
//! Era `MODERN` has no handshake: every request carries its version. Era `HANDSHAKE` begins with
//! `initialize`. The tests write the JSON-RPC messages by hand, as a client of another maker would.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdin, ExitStatus, Stdio},
};

use serde_json::{Value, json};

use super::{
    CHAT, chat, is_servable,
    support::{
        Folder, Lines, Node, Response, json_stdout, post, program, request, send, signal, stderr,
    },
    two_halves,
};

const MODERN: &str = "2026-07-28";
const HANDSHAKE: &str = "2025-11-25";
const TOOLS: [&str; 7] =
    ["chat", "models", "compare", "research", "batch_prompts", "delegate", "node_info"];

/// The messages of an answer, whether it is one object or a stream of events.
fn messages(response: &Response) -> Vec<Value> {
    if response.headers.contains("application/json") {
        return vec![response.json()];
    }
    let data = response.body.lines().filter_map(|line| line.strip_prefix("data:"));
    let data = data.map(str::trim).filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(data).expect("JSON in an event")).collect()
}

fn head(more: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream{more}"
    )
}

/// A request of the modern era with everything it needs.
pub(super) fn modern(method: &str, params: &Value) -> (String, Value) {
    let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
    let name = name.map(|name| format!("\r\nMcp-Name: {name}")).unwrap_or_default();
    let head = head(&format!("\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: {method}{name}"));
    (head, with_meta(method, params))
}

fn with_meta(method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn ask_modern(to: SocketAddr, method: &str, params: &Value) -> (u16, Vec<Value>) {
    let (head, body) = modern(method, params);
    let response = request(to, &head, &body.to_string());
    (response.status, messages(&response))
}

/// A session of the handshake era.
struct Session {
    to: SocketAddr,
    id: String,
    info: Value,
}

fn initialize(version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }})
}

impl Session {
    fn open(to: SocketAddr, version: &str) -> Session {
        let response = request(to, &head(""), &initialize(version).to_string());
        assert_eq!(response.status, 200, "{response:?}");
        let line = response.headers.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        let id = line.expect("a session").to_owned();
        let info = messages(&response).remove(0)["result"].clone();
        let session = Session { to, id, info };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(request(to, &session.head(), &initialized.to_string()).status, 202);
        session
    }

    fn head(&self) -> String {
        let version = self.info["protocolVersion"].as_str().expect("a version");
        head(&format!("\r\nMcp-Session-Id: {}\r\nMCP-Protocol-Version: {version}", self.id))
    }

    fn ask(&self, method: &str, params: &Value) -> Vec<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let response = request(self.to, &self.head(), &body.to_string());
        assert_eq!(response.status, 200, "{response:?}");
        messages(&response)
    }
}

/// `swarmllm mcp` over pipes.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines,
}

impl Piped {
    fn start(node: &Node) -> Piped {
        let mut command = program();
        command.args(["mcp", "--data-dir"]).arg(node.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("piped"));
        Piped { stdin: child.stdin.take(), child, lines }
    }

    fn say(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(format!("{message}\n").as_bytes()).expect("writable");
    }

    /// Says a request; its notifications and its answer. Every line must be JSON.
    fn ask(&mut self, message: &Value) -> Vec<Value> {
        let before = self.lines.seen.len();
        self.say(message);
        self.lines.wait_for(&format!("\"id\":{}", message["id"]));
        let said = &self.lines.seen[before..];
        said.iter().map(|line| serde_json::from_str(line).expect("JSON on stdout")).collect()
    }

    /// Closes stdin and waits for the end.
    fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.lines.wait_for_end();
        self.child.wait().expect("an ended child")
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // Ended already is ended as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn result(messages: &[Value]) -> Value {
    let last = messages.last().expect("a message");
    assert_eq!(last["id"], 7, "{last}");
    assert!(last.get("error").is_none(), "{last}");
    last["result"].clone()
}

fn error_code(messages: &[Value]) -> Value {
    messages.last().expect("a message")["error"]["code"].clone()
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

fn failure_text(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().expect("text")
}

/// The same requests over both eras of both transports.
fn every_way(node: &Node, mut check: impl FnMut(&str, &mut dyn FnMut(&str, Value) -> Vec<Value>)) {
    let to = node.http();
    check("HTTP modern", &mut |method, params| ask_modern(to, method, &params).1);
    let session = Session::open(to, HANDSHAKE);
    check("HTTP handshake", &mut |method, params| session.ask(method, &params));
    let mut stdio = Piped::start(node);
    check("stdio modern", &mut |method, params| stdio.ask(&with_meta(method, &params)));
    assert!(stdio.end().success());
    let mut stdio = Piped::start(node);
    let info = stdio.ask(&initialize(HANDSHAKE)).remove(0);
    assert_eq!(info["result"]["serverInfo"]["name"], "swarmllm");
    stdio.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    check("stdio handshake", &mut |method, params| {
        stdio.ask(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    });
    assert!(stdio.end().success());
}

#[test]
fn seven_tools_and_a_resource_are_there_in_both_eras_over_both_transports() {
    let node = Node::serve(&[]);
    let mut lists = Vec::new();
    every_way(&node, |way, ask| {
        let list = result(&ask("tools/list", json!({})));
        let tools = list["tools"].as_array().expect("tools").clone();
        let names: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
        assert_eq!(json!(names), json!(TOOLS), "{way}");
        for tool in &tools {
            assert_eq!(tool["inputSchema"]["type"], "object", "{way} {tool}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{way} {tool}");
            assert_eq!(tool["annotations"]["readOnlyHint"], true, "{way} {tool}");
        }
        // Only the newer era knows these.
        let is_modern = way.ends_with("modern");
        assert_eq!(list["resultType"] == "complete", is_modern, "{way} {list}");
        assert!(list["cacheScope"] == "public", "{way} {list}");
        lists.push(tools);

        let resources = result(&ask("resources/list", json!({})));
        assert_eq!(resources["resources"][0]["uri"], "swarmllm://status", "{way}");
        let read = result(&ask("resources/read", json!({"uri": "swarmllm://status"})));
        let text = read["contents"][0]["text"].as_str().expect("text");
        let status: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(status["peer_id"], node.ready["peer_id"], "{way}");
        let missing = ask("resources/read", json!({"uri": "swarmllm://other"}));
        let code = if is_modern { -32602 } else { -32002 };
        assert_eq!(error_code(&missing), code, "{way} {missing:?}");
        let error = &missing.last().expect("an answer")["error"];
        assert_eq!(error["data"]["uri"], "swarmllm://other", "{way}");
        for method in ["tools/list", "resources/list"] {
            let page = ask(method, json!({"cursor": "nobody gave it"}));
            assert_eq!(error_code(&page), -32602, "{way} {method}");
        }
        let info = result(&ask("tools/call", call("node_info", json!({}))));
        assert_eq!(info["structuredContent"]["peer_id"], node.ready["peer_id"], "{way}");
    });
    assert!(lists.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_answer_is_the_same_over_every_door_and_says_who_computed_it() {
    let node = Node::serve(&[]);
    let over_http = post(node.http(), CHAT, &chat(json!({}))).json();
    let text = &over_http["choices"][0]["message"]["content"];
    every_way(&node, |way, ask| {
        let mut params = call("chat", json!({"prompt": "What is SwarmLLM?"}));
        params["_meta"] = json!({"progressToken": "p1"});
        let messages = ask("tools/call", params);
        let answer = result(&messages);
        let structured = &answer["structuredContent"];
        assert_eq!(&structured["text"], text, "{way}");
        assert_eq!(structured["model"], "demo", "{way}");
        assert_eq!(structured["route"][0]["peer"], node.ready["peer_id"], "{way}");
        assert_eq!(
            structured["usage"]["completion_tokens"],
            over_http["usage"]["completion_tokens"]
        );
        let shown = answer["content"][0]["text"].as_str().expect("text");
        assert!(shown.starts_with(text.as_str().expect("text")), "{way} {shown}");
        assert!(shown.contains("computed by"), "{way} {shown}");

        let told = &messages[..messages.len() - 1];
        assert!(!told.is_empty(), "{way}: no progress");
        let progress = |message: &Value| {
            assert_eq!(message["method"], "notifications/progress", "{way} {message}");
            assert_eq!(message["params"]["progressToken"], "p1", "{way} {message}");
            message["params"]["progress"].as_f64().expect("a number")
        };
        let told: Vec<f64> = told.iter().map(progress).collect();
        assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{way} {told:?}");
        assert!(told[told.len() - 1] >= 1.0, "{way} {told:?}");
    });
}

#[test]
fn what_a_tool_can_t_do_is_its_result_and_a_tool_that_is_not_there_is_an_error() {
    let node = Node::serve(&[]);
    every_way(&node, |way, ask| {
        let unknown = ask("tools/call", call("no_such_tool", json!({})));
        assert_eq!(error_code(&unknown), -32602, "{way} {unknown:?}");
        let long = "hello ".repeat(2000);
        for (arguments, part) in [
            (json!({"prompt": "hi", "model": "other"}), "other"),
            (json!({"prompt": 3}), "`prompt`"),
            (json!({"prompt": "hi", "max_tokens": -1}), "`max_tokens`"),
            (json!({"prompt": long}), "context"),
        ] {
            let result = result(&ask("tools/call", call("chat", arguments)));
            let text = failure_text(&result);
            assert!(text.contains(part), "{way}: {part} in {text}");
        }
        let shapeless = ask("tools/call", json!({"name": 3}));
        assert_eq!(error_code(&shapeless), -32602, "{way} {shapeless:?}");
        let unknown = ask("no/such/method", json!({}));
        assert_eq!(error_code(&unknown), -32601, "{way} {unknown:?}");
    });
}

#[test]
fn the_other_tools_answer_with_the_node_s_models() {
    let node = Node::serve(&["--model", "demo", "--model", "demo-draft"]);
    let session = Session::open(node.http(), HANDSHAKE);
    let structured = |name: &str, arguments: Value| {
        let result = result(&session.ask("tools/call", &call(name, arguments)));
        assert_eq!(result["isError"], false, "{result}");
        result["structuredContent"].clone()
    };
    let models = structured("models", json!({}));
    assert_eq!(models["models"][0]["servable"], true);
    let both = json!({"prompt": "Hello", "models": ["demo", "demo-draft"], "max_tokens": 4});
    let compared = structured("compare", both);
    for (index, model) in ["demo", "demo-draft"].into_iter().enumerate() {
        let result = &compared["results"][index];
        assert_eq!(result["model"], model);
        assert!(result["answer"]["usage"]["completion_tokens"].as_u64() <= Some(4), "{result}");
    }
    let prompts: Vec<String> = (0..12).map(|n| format!("What is {n}?")).collect();
    let arguments = json!({"prompts": prompts, "model": "demo", "max_tokens": 3});
    let batch = structured("batch_prompts", arguments);
    assert_eq!((&batch["completed"], &batch["failed"]), (&json!(12), &json!(0)));
    let first = structured("chat", json!({"prompt": prompts[0], "model": "demo", "max_tokens": 3}));
    assert_eq!(batch["results"][0]["answer"]["text"], first["text"]);
    let delegated = structured("delegate", json!({"task": "Say hello.", "max_tokens": 5}));
    assert!(!delegated["route"].as_array().expect("a route").is_empty());
    let research = structured("research", json!({"question": "What is a node?", "depth": 2}));
    assert_eq!(research["web_access"], false);
    assert!(!research["findings"].as_array().expect("findings").is_empty());
}

#[test]
fn versions_are_negotiated_and_the_server_says_its_name() {
    let node = Node::serve(&[]);
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", HANDSHAKE] {
        let session = Session::open(node.http(), version);
        assert_eq!(session.info["protocolVersion"], version);
        let program = &session.info["serverInfo"];
        assert_eq!(program["name"], "swarmllm");
        assert_eq!(program["version"], env!("CARGO_PKG_VERSION"));
        assert!(session.info["capabilities"]["tools"].is_object());
        assert_eq!(result(&session.ask("ping", &json!({}))), json!({}));
    }
    let session = Session::open(node.http(), "1999-01-01");
    assert_eq!(session.info["protocolVersion"], HANDSHAKE);
    let (status, found) = ask_modern(node.http(), "server/discover", &json!({}));
    let found = result(&found);
    assert_eq!(status, 200);
    let versions = found["supportedVersions"].as_array().expect("versions");
    assert!(versions.contains(&json!(MODERN)) && versions.contains(&json!(HANDSHAKE)), "{found}");
    let name = &found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"];
    assert_eq!(name, "swarmllm", "{found}");
}

#[test]
fn http_statuses_are_those_of_the_protocol() {
    let node = Node::serve(&[]);
    let to = node.http();
    let (good, list) = modern("tools/list", &json!({}));
    let list = list.to_string();
    let status = |head: &str, body: &str| {
        let response = request(to, head, body);
        let code = messages(&response).last().map(|message| message["error"]["code"].clone());
        (response.status, code.unwrap_or_default())
    };
    assert_eq!(status(&good, &list).0, 200);
    // Headers that contradict the body, and a version nobody knows.
    let other = good.replace(MODERN, HANDSHAKE);
    assert_eq!(status(&other, &list), (400, json!(-32020)));
    let other = good.replace("tools/list", "tools/call");
    assert_eq!(status(&other, &list), (400, json!(-32020)));
    let unknown = (good.replace(MODERN, "2999-01-01"), list.replace(MODERN, "2999-01-01"));
    assert_eq!(status(&unknown.0, &unknown.1), (400, json!(-32022)));
    let (status_404, unknown) = ask_modern(to, "no/such/method", &json!({}));
    assert_eq!((status_404, error_code(&unknown)), (404, json!(-32601)));
    // What is no message.
    for (body, code) in [("", -32700), ("{", -32700), ("[]", -32600), ("{\"id\":1}", -32600)] {
        assert_eq!(status(&good, body), (400, json!(code)), "{body:?}");
    }
    let wrong = list.replace("\"params\":{", "\"params\":[], \"x\":{");
    let told = messages(&request(to, &good, &wrong));
    assert_eq!((&told[0]["id"], error_code(&told)), (&json!(7), json!(-32600)), "{told:?}");
    let batch = format!("[{list},{list}]");
    assert_eq!(status(&good, &batch), (400, json!(-32600)));
    let huge = request(to, &format!("{good}\r\nContent-Length: 99999999999"), "");
    assert_eq!(huge.status, 413);
    // Who asks, and how.
    let foreign = request(to, &format!("{good}\r\nOrigin: https://evil.example"), &list);
    assert_eq!((foreign.status, &foreign.json()["error"]["code"]), (403, &json!(-32600)));
    let own = request(to, &format!("{good}\r\nOrigin: http://localhost:3000"), &list);
    assert_eq!(own.status, 200);
    let anything = good.replace("application/json, text/event-stream", "*/*");
    assert_eq!(status(&anything, &list).0, 200);
    let plain = "POST /mcp HTTP/1.1\r\nContent-Type: application/json";
    assert_eq!(request(to, plain, &list).status, 406);
    let text = good.replace("Content-Type: application/json", "Content-Type: text/plain");
    assert_eq!(request(to, &text, &list).status, 415);
    let put = request(to, "PUT /mcp HTTP/1.1", "");
    assert_eq!((put.status, put.headers.contains("allow: ")), (405, true), "{put:?}");
    let get =
        format!("GET /mcp HTTP/1.1\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: {MODERN}");
    assert_eq!(request(to, &get, "").status, 405);
}

#[test]
fn a_session_lives_until_it_is_deleted() {
    let node = Node::serve(&[]);
    let to = node.http();
    let session = Session::open(to, HANDSHAKE);
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"}).to_string();
    assert_eq!(request(to, &head(""), &list).status, 400);
    let other = head("\r\nMcp-Session-Id: other");
    assert_eq!(request(to, &other, &list).status, 404);
    assert_eq!(request(to, &session.head(), &list).status, 200);
    let delete = session.head().replace("POST", "DELETE");
    assert_eq!(request(to, &delete, "").status, 204);
    assert_eq!(request(to, &session.head(), &list).status, 404);
}

#[test]
fn a_cancelled_call_ends_its_generation() {
    let (node, second) = two_halves();
    let params = call("chat", json!({"prompt": "What is SwarmLLM?"}));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                        "params": {"requestId": 7}});
    let mut control = node.control();
    let mut while_active = |start: &mut dyn FnMut(), end: &mut dyn FnMut()| {
        // While the last stage holds still no answer can end by itself.
        signal("STOP", second.pid());
        start();
        control.wait_until("status", |status| status["n_active"] == 1);
        end();
        control.wait_until("status", |status| status["n_active"] == 0);
        signal("CONT", second.pid());
        control.wait_until("models", is_servable);
    };
    // The stream is closed.
    let (head, body) = modern("tools/call", &params);
    let client = std::cell::RefCell::new(None);
    while_active(
        &mut || *client.borrow_mut() = Some(send(node.http(), &head, &body.to_string())),
        &mut || drop(client.take()),
    );
    // A notification in the session.
    let session = Session::open(node.http(), HANDSHAKE);
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    while_active(
        &mut || *client.borrow_mut() = Some(send(node.http(), &session.head(), &body.to_string())),
        &mut || {
            let accepted = request(node.http(), &session.head(), &cancel.to_string());
            assert_eq!(accepted.status, 202);
        },
    );
    // The end of the session.
    while_active(
        &mut || *client.borrow_mut() = Some(send(node.http(), &session.head(), &body.to_string())),
        &mut || {
            let delete = session.head().replace("POST", "DELETE");
            assert_eq!(request(node.http(), &delete, "").status, 204);
        },
    );
    // A notification over stdio, in both eras.
    for is_modern in [true, false] {
        let stdio = std::cell::RefCell::new(Piped::start(&node));
        let mut body = body.clone();
        if is_modern {
            body = with_meta("tools/call", &params);
        } else {
            stdio.borrow_mut().ask(&initialize(HANDSHAKE));
        }
        while_active(&mut || stdio.borrow_mut().say(&body), &mut || {
            stdio.borrow_mut().say(&cancel)
        });
    }
}

#[test]
fn stdio_without_a_node_says_so_on_stderr() {
    let folder = Folder::new();
    let mut command = program();
    command.args(["mcp", "--data-dir"]).arg(folder.path()).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("swarmllm serve"), "{}", stderr(&output));
}

#[test]
fn stdio_skips_what_is_no_message_and_survives_the_node() {
    let mut node = Node::serve(&[]);
    let mut stdio = Piped::start(&node);
    stdio.ask(&initialize(HANDSHAKE));
    stdio.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    stdio.say(&json!("no message"));
    let info = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
                      "params": call("node_info", json!({}))});
    assert_eq!(result(&stdio.ask(&info))["isError"], false);
    node.close_stdin();
    assert!(node.wait().success());
    let gone = json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call",
                      "params": call("models", json!({}))});
    let gone = stdio.ask(&gone).pop().expect("an answer")["result"].clone();
    assert!(failure_text(&gone).contains("no node answers"), "{gone}");
}

/// A folder with programs that write their environment and arguments.
fn fake_programs(folder: &Folder) -> PathBuf {
    for name in ["claude", "codex", "opencode", "aider"] {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\nenv\nprintf 'argument %s\\n' \"$@\"\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
    }
    folder.path().to_owned()
}

#[test]
fn agents_are_told_the_node_s_address_and_started_with_it() {
    let node = Node::serve(&[]);
    let url = format!("http://{}", node.http());
    let folder = Folder::new();
    let path = format!("{}:/usr/bin:/bin", fake_programs(&folder).display());
    let connect = |tool: &str, more: &[&str]| {
        let mut command = program();
        command.args(["connect", tool, "--data-dir"]).arg(node.folder.path()).args(more);
        let output = command.env("PATH", &path).stdin(Stdio::null()).output();
        output.expect("the program starts")
    };
    let cases = [
        ("claude", "ANTHROPIC_BASE_URL", url.clone(), "DISABLE_TELEMETRY=1"),
        ("codex", "OPENAI_API_KEY", "swarmllm".to_owned(), "argument analytics.enabled=false"),
        ("opencode", "OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned(), "OPENCODE_CONFIG_CONTENT="),
        ("aider", "OPENAI_API_BASE", format!("{url}/v1"), "argument --no-analytics"),
    ];
    for (tool, variable, value, line) in cases {
        let printed = connect(tool, &[]);
        let text = String::from_utf8_lossy(&printed.stdout).into_owned();
        assert!(printed.status.success() && text.contains(&url), "{text}{}", stderr(&printed));
        let launch = json_stdout(&connect(tool, &["--json"]));
        assert_eq!((&launch["tool"], &launch["model"]), (&json!(tool), &json!("demo")));
        assert_eq!(launch["env"][variable], value, "{launch}");

        let ran = connect(tool, &["--run", "--", "--say", "two words"]);
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        for expected in [&*format!("{variable}={value}"), line, "argument two words", &url] {
            assert!(text.lines().any(|found| found.contains(expected)), "{expected} in {text}");
        }
    }
    let missing = connect("claude", &["--model", "other"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("demo"), "{}", stderr(&missing));
    // An agent without a key would be started for nothing.
    assert!(node.run(&["key", "create"]).status.success());
    for keyless in [connect("claude", &["--run"]), connect("claude", &["--run", "--key", ""])] {
        assert_eq!(keyless.status.code(), Some(1));
        assert!(stderr(&keyless).contains("--key"), "{}", stderr(&keyless));
    }
    let launch = json_stdout(&connect("claude", &["--json", "--key", "swk-1"]));
    assert_eq!(launch["env"]["ANTHROPIC_API_KEY"], "swk-1");
}

#[test]
fn agents_without_a_node_or_a_program_are_told_what_to_do() {
    let empty = Folder::new();
    let mut command = program();
    command.args(["connect", "claude", "--data-dir"]).arg(empty.path());
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("swarmllm serve"), "{}", stderr(&output));
    let node = Node::serve(&[]);
    let mut command = program();
    command.args(["connect", "aider", "--run", "--data-dir"]).arg(node.folder.path());
    let output = command.env("PATH", empty.path()).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("install it"), "{}", stderr(&output));
}
