//! The service manager's socket: `READY=1`, `WATCHDOG=1`, `STOPPING=1` (sd_notify of systemd).
//!
//! Called by `cli/serve.rs`. One datagram per state, lines of `NAME=VALUE`, to the Unix socket in
//! `NOTIFY_SOCKET`; a leading `@` means the abstract name space. Without the variable nothing
//! happens. Units: `WATCHDOG_USEC` is microseconds; we answer at half of it.
//! Errors: none; a service manager that does not listen is no reason to stop.
//! Source: sd_notify(3), sd_watchdog_enabled(3).

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use crate::config::Environment;

/// A service manager, if one started us.
#[derive(Debug)]
pub struct ServiceManager {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one named in the environment.
    pub fn from_environment(environment: &Environment) -> ServiceManager {
        let to = environment.get("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(name),
            };
            Some((UnixDatagram::unbound().ok()?, address.ok()?))
        });
        let ours =
            environment.get("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let period = environment.get("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = period.filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        ServiceManager { watchdog: watchdog.filter(|_| to.is_some()), to }
    }

    /// How often it wants to hear of our health: half of its patience.
    pub fn watchdog_period(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 2)
    }

    /// Sends one state.
    pub fn notify(&self, state: &str) {
        let Some((socket, address)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::debug!(%error, state, "the service manager did not take a notification");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_at_the_named_socket() {
        let name = format!("swarmllm-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("short name");
        let manager = UnixDatagram::bind_addr(&address).expect("free name");
        let environment = Environment::of([
            ("NOTIFY_SOCKET", &format!("@{name}")),
            ("WATCHDOG_USEC", "30000000"),
        ]);
        let service = ServiceManager::from_environment(&environment);
        assert_eq!(service.watchdog_period(), Some(Duration::from_secs(15)));
        service.notify("READY=1");
        let mut datagram = [0; 64];
        let length = manager.recv(&mut datagram).expect("a datagram");
        assert_eq!(&datagram[..length], b"READY=1");
    }

    #[test]
    fn without_a_manager_nothing_is_sent() {
        let service = ServiceManager::from_environment(&Environment::default());
        service.notify("READY=1");
        assert_eq!(service.watchdog_period(), None);
        let other = Environment::of([("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
        assert_eq!(ServiceManager::from_environment(&other).watchdog_period(), None);
    }
}
