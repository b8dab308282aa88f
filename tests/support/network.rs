//! A local network of its own for tests: hosts in network namespaces, joined by a bridge.
//!
//! Needs `unshare`, `nsenter` and `ip`, and a kernel that lets this user make namespaces; where one
//! is missing [`Network::new`] says so and the test is left out, loudly.
//! Host `n` is 10.77.0.`n`+1 and fd77::`n`+1. What goes to neither of these networks would leave by
//! the interface `outside`, which leads nowhere and counts what is sent (IPv4 asks there for a
//! neighbour first, which counts as well).
#![allow(dead_code, unreachable_pub, reason = "not every test file starts hosts")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The network; its namespaces go when it is dropped.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Child>,
    hub: Child,
}

impl Network {
    /// A network of so many hosts; `None` where this machine has none to give.
    pub fn new(n_hosts: usize) -> Option<Network> {
        let made = Network::try_new(n_hosts);
        if let Err(reason) = &made {
            eprintln!("SKIPPED: no network namespaces here: {reason}");
        }
        made.ok()
    }

    fn try_new(n_hosts: usize) -> Result<Network, String> {
        let hub = keeper(Command::new("unshare").args(["--map-root-user", "--net"]))?;
        let mut network = Network { hosts: Vec::new(), hub };
        let hub = network.hub.id();
        run_in(hub, "ip link add bridge0 type bridge && ip link set bridge0 up")?;
        for index in 0..n_hosts {
            let mut command = Command::new("nsenter");
            let host = keeper(command.args(enter(hub)).args(["unshare", "--net"]))?;
            let pid = host.id();
            network.hosts.push(host);
            let (name, number) = (format!("host{index}"), index + 1);
            run_in(
                hub,
                &format!(
                    "ip link add {name} type veth peer name eth0 netns {pid} && \
                     ip link set {name} master bridge0 up"
                ),
            )?;
            run_in(
                pid,
                &format!(
                    "ip link set lo up && ip address add 10.77.0.{number}/24 dev eth0 && \
                     ip -6 address add fd77::{number}/64 dev eth0 nodad && ip link set eth0 up && \
                     ip link add outside type veth peer name nowhere && \
                     ip link set outside addrgenmode none multicast off up && \
                     ip link set nowhere addrgenmode none multicast off up && \
                     ip route add default dev outside && ip -6 route add default dev outside"
                ),
            )?;
        }
        Ok(network)
    }

    /// What a program is started with to run on a host.
    pub fn on_host(&self, host: usize) -> Vec<String> {
        let enter = enter(self.hosts[host].id());
        std::iter::once("nsenter".to_owned()).chain(enter).collect()
    }

    /// Packets of a host that would have left the local network, IPv6's own announcements of a
    /// new interface included.
    pub fn packets_outside(&self, host: usize) -> u64 {
        // Not /sys: that shows the namespace it was mounted in.
        let table = run_in(self.hosts[host].id(), "cat /proc/net/dev").expect("a readable table");
        let line = table.lines().find_map(|line| line.trim().strip_prefix("outside:"));
        let sent = line.and_then(|line| line.split_whitespace().nth(9));
        sent.and_then(|sent| sent.parse().ok()).expect("a count of packets sent")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for keeper in self.hosts.iter_mut().chain([&mut self.hub]) {
            // Ended already is ended as well.
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
    }
}

fn enter(pid: u32) -> Vec<String> {
    let target = pid.to_string();
    ["--target", &target, "--user", "--net", "--preserve-credentials"].map(str::to_owned).to_vec()
}

/// A process that keeps a new namespace alive until it is killed.
fn keeper(command: &mut Command) -> Result<Child, String> {
    let mut child = command
        .args(["sh", "-c", "echo made; exec sleep 3600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    if line.trim() == "made" { Ok(child) } else { Err(format!("{command:?} is not allowed")) }
}

/// Runs a shell script in the namespaces of a process; what it printed.
fn run_in(pid: u32, script: &str) -> Result<String, String> {
    let output = Command::new("nsenter")
        .args(enter(pid))
        .args(["sh", "-c", script])
        .output()
        .map_err(|error| format!("nsenter: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(format!("{script}: {}", said(&output.stderr))),
    }
}
