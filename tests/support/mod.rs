//! Running the real program from tests: nodes as processes, a plain HTTP client, a control client.
//!
//! Used by the whole-program tests of this folder. Nothing here waits by sleeping: a node is ready
//! when its log says so, it has ended when its log ends; every wait has a deadline.
//! Errors: panics with what was expected, for these are tests.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of this module")]

pub mod network;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longest wait for anything: generous, for a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_swarmllm");

/// A folder of this test, removed at its end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new empty folder; short, for a Unix socket must fit below it.
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("swt-{}-{count}", std::process::id()));
        fs::create_dir(&path).expect("a new temporary folder");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Names of what is in it.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("readable folder");
        entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A failed test may have lost it already.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program with an environment of its own: no configuration of the person who runs the test.
pub fn program() -> Command {
    program_through(&[])
}

/// The same, started by another program where one is given.
fn program_through(through: &[String]) -> Command {
    let mut line = through.iter().map(String::as_str).chain([PROGRAM]);
    let mut command = Command::new(line.next().expect("the program at least"));
    command.args(line);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("SWARMLLM_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").env_remove("JOURNAL_STREAM");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// Standard error of a finished program.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON object on standard output.
pub fn json_stdout(output: &Output) -> Value {
    assert!(output.status.success(), "{}: {}", output.status, stderr(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

/// Sends a signal such as `TERM` to a process.
pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "SIG{name} to {pid}");
}

/// Command lines of processes that mention a path.
pub fn processes_mentioning(path: &Path) -> Vec<String> {
    let needle = path.to_string_lossy().into_owned();
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = folders.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&needle))
        .collect()
}

/// Lines of a pipe, read by a thread, so that a wait can have a deadline.
#[derive(Debug)]
pub struct Lines {
    incoming: Receiver<String>,
    /// Everything read so far.
    pub seen: Vec<String>,
}

impl Lines {
    /// Starts reading.
    pub fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, incoming) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines { incoming, seen: Vec::new() }
    }

    /// Waits for a line that contains a text.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.seen.push(line);
                    if found {
                        return;
                    }
                }
                Err(error) => panic!("no {text:?} ({error}) in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Waits until the other end is closed.
    pub fn wait_for_end(&mut self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                Err(error) => panic!("still open ({error}):\n{}", self.seen.join("\n")),
            }
        }
    }
}

/// A running node; ended when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Its log.
    pub log: Lines,
    /// Its data folder.
    pub folder: Folder,
    /// Its `ready.json`.
    pub ready: Value,
}

impl Node {
    /// Starts `serve` on loopback with system-chosen ports and more arguments; waits until ready.
    pub fn serve(more: &[&str]) -> Node {
        Node::serve_in(Folder::new(), more)
    }

    /// The same in a folder of the caller.
    pub fn serve_in(folder: Folder, more: &[&str]) -> Node {
        Node::start(folder, &[&["--listen", "127.0.0.1:0", "--no-mdns"], more].concat())
    }

    /// The same with its network settings left to the caller.
    pub fn start(folder: Folder, arguments: &[&str]) -> Node {
        Node::start_through(&[], folder, arguments)
    }

    /// The same through another program, which is given the node's command line.
    pub fn start_through(through: &[String], folder: Folder, arguments: &[&str]) -> Node {
        let mut command = program_through(through);
        command
            .args(["serve", "--http", "127.0.0.1:0", "--until-stdin-closes", "--data-dir"])
            .arg(folder.path())
            .args(arguments)
            .env("SWARMLLM_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut log = Lines::of(child.stderr.take().expect("piped"));
        log.wait_for("ready: OpenAI API at");
        let text = fs::read(folder.path().join("ready.json")).expect("ready.json is there");
        let ready = serde_json::from_slice(&text).expect("ready.json is JSON");
        Node { child, log, folder, ready }
    }

    /// Address of its HTTP server.
    pub fn http(&self) -> SocketAddr {
        self.ready["http"].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }

    /// Address for its peers.
    pub fn listen(&self) -> String {
        self.ready["listen"].as_str().expect("an address").to_owned()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new control connection.
    pub fn control(&self) -> Control {
        Control::connect(Path::new(self.ready["control"].as_str().expect("a path")))
    }

    /// Asks for several answers at once, each over a control connection of its own.
    pub fn answers(&self, questions: &[Value]) -> Vec<Value> {
        let path = PathBuf::from(self.ready["control"].as_str().expect("a path"));
        std::thread::scope(|scope| {
            let ask = |question: &Value| {
                let (path, question) = (path.clone(), question.clone());
                scope.spawn(move || Control::connect(&path).result("generate", question))
            };
            let asked: Vec<_> = questions.iter().map(ask).collect();
            asked.into_iter().map(|answer| answer.join().expect("an answer")).collect()
        })
    }

    /// Waits until nobody has a place, waits for one, or holds pages.
    pub fn wait_until_idle(&self) -> Value {
        self.control().wait_until("status", |status| {
            let scheduler = &status["scheduler"];
            let (running, waiting) = (&scheduler["running"], &scheduler["waiting"]);
            *running == 0 && *waiting == 0 && status["kv_pages"][0] == 0
        })
    }

    /// Runs a command of the program against this node.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut all = arguments.to_vec();
        all.extend(["--data-dir", &folder]);
        run(&all)
    }

    /// Closes its stdin, as a parent that dies would.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.log.wait_for_end();
        self.child.wait().expect("an ended child")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ended already is ended as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nodes that hold the demo model together, with these arguments each; the first is asked.
pub fn chain(stages: &[&[&str]]) -> Vec<Node> {
    let mut nodes = vec![Node::serve(stages[0])];
    let join = nodes[0].listen();
    for arguments in &stages[1..] {
        nodes.push(Node::serve(&[*arguments, &["--join", &join]].concat()));
    }
    nodes[0].control().wait_until("models", |answer| answer["models"][0]["servable"] == true);
    nodes
}

/// A control connection.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Control {
    /// Connects to a socket.
    pub fn connect(path: &Path) -> Control {
        let stream = UnixStream::connect(path).expect("the control socket accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let reader = BufReader::new(stream.try_clone().expect("a clone"));
        Control { stream, reader }
    }

    /// Sends a line as it is.
    pub fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("writable");
    }

    /// Reads one object.
    pub fn read(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line within the deadline");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Asks; returns the notifications before the answer, and the answer.
    pub fn call(&mut self, method: &str, params: Value) -> (Vec<Value>, Value) {
        self.send(
            &json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params})
                .to_string(),
        );
        let mut notifications = Vec::new();
        loop {
            let incoming = self.read();
            if incoming.get("id").is_some() {
                assert_eq!(incoming["id"], method, "{incoming}");
                return (notifications, incoming);
            }
            notifications.push(incoming);
        }
    }

    /// Asks and expects a result.
    pub fn result(&mut self, method: &str, params: Value) -> Value {
        let (_, answer) = self.call(method, params);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Waits for one of these events; needs a subscription.
    pub fn wait_for_event(&mut self, names: &[&str]) -> Value {
        loop {
            let incoming = self.read();
            let event = &incoming["params"];
            if incoming["method"] == "event" && names.iter().any(|name| event["event"] == *name) {
                return event.clone();
            }
        }
    }

    /// Asks again and again until the answer is as wished; a round trip apart, with a deadline.
    pub fn wait_until(&mut self, method: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let answer = self.result(method, json!({}));
            if wished(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{method} stays {answer}");
        }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header lines, lower case.
    pub headers: String,
    /// The body, unchunked.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Data of each server-sent event.
    pub fn events(&self) -> Vec<String> {
        let events = self.body.split("\n\n").filter(|event| !event.is_empty());
        events.map(|event| event.strip_prefix("data: ").expect("data").to_owned()).collect()
    }
}

/// Opens a connection and sends a request whose answer ends with the connection.
pub fn send(to: SocketAddr, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("the HTTP server accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let host = if head.to_ascii_lowercase().contains("\nhost:") {
        String::new()
    } else {
        format!("Host: {to}\r\n")
    };
    let length = if head.contains("Content-Length") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let request = format!("{head}\r\n{host}Connection: close\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("writable");
    stream
}

/// One request with these head lines (`GET /path HTTP/1.1`, more after `\r\n`).
pub fn request(to: SocketAddr, head: &str, body: &str) -> Response {
    let mut bytes = Vec::new();
    send(to, head, body).read_to_end(&mut bytes).expect("an answer within the deadline");
    parse_response(&bytes)
}

/// GET.
pub fn get(to: SocketAddr, path: &str) -> Response {
    request(to, &format!("GET {path} HTTP/1.1"), "")
}

/// POST of JSON.
pub fn post(to: SocketAddr, path: &str, body: &Value) -> Response {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json");
    request(to, &head, &body.to_string())
}

fn parse_response(bytes: &[u8]) -> Response {
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&bytes[..split]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let body = &bytes[split + 4..];
    let chunked = head.contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_vec() };
    let body = String::from_utf8(body).expect("UTF-8");
    Response { status, headers: head, body }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let digits = std::str::from_utf8(&bytes[..end]).expect("a chunk length");
        let length = usize::from_str_radix(digits, 16).expect("hexadecimal");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
    panic!("the body ended without its last chunk: {}", String::from_utf8_lossy(&body));
}
