//! The supervisor: starts the tree, notices when a member ends unasked, starts it all again.
//!
//! A panic in a handler ends one actor and nothing in actix restarts it. Members hold each other's
//! addresses, so one that came back alone would talk to nobody: the whole tree is replaced (one
//! for all), after a pause that doubles with every failure in a row. Sessions and generations are
//! not members: they end, and those who wait on them are told.

pub mod policy;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    Recipient, WrapFuture,
};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::event_log::{Event, Record};
use crate::mailbox::offer;

/// How often members are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running tree as the supervisor sees it.
pub trait Tree: Clone + Send + Sync + 'static {
    /// The first member that has ended, if any.
    fn ended_member(&self) -> Option<&'static str>;
    /// Where its events go.
    fn events(&self) -> Recipient<Record>;
    /// Ends every member.
    fn stop(&self);
}

/// Builds a tree; called at the start and after every failure.
pub type Build<T> = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, String>>>>>;

/// The actor.
pub struct NodeSupervisor<T: Tree> {
    build: Build<T>,
    tree: watch::Sender<Option<T>>,
    clock: Clock,
    started_at_ms: u64,
    failures: u32,
    restarts: u32,
    is_stopping: bool,
}

/// Command. Sender: `node.rs`. Stops the tree for good. Reply: when it is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopTree;

/// Question. Sender: doors. Reply: how often the tree was restarted.
#[derive(Debug, Message)]
#[rtype(result = "u32")]
pub struct GetRestarts;

impl<T: Tree> NodeSupervisor<T> {
    /// A supervisor of a tree that runs already; later ones are published through `tree`.
    pub fn new(build: Build<T>, tree: watch::Sender<Option<T>>, clock: Clock) -> Self {
        NodeSupervisor {
            build,
            tree,
            clock,
            started_at_ms: clock.now_ms(),
            failures: 0,
            restarts: 0,
            is_stopping: false,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let ended = self.tree.borrow().as_ref().and_then(Tree::ended_member);
        if let Some(member) = ended.filter(|_| !self.is_stopping) {
            self.restart(member, ctx);
        }
    }

    fn restart(&mut self, member: &'static str, ctx: &mut Context<Self>) {
        tracing::error!(member, "a part of the node ended; starting it again");
        if let Some(old) = self.tree.send_replace(None) {
            old.stop();
        }
        let alive_ms = self.clock.now_ms().saturating_sub(self.started_at_ms);
        self.failures = policy::failures_after(self.failures, alive_ms);
        self.restarts += 1;
        let pause = Duration::from_millis(policy::pause_ms(self.failures));
        let build = Rc::clone(&self.build);
        let built = async move {
            tokio::time::sleep(pause).await;
            build().await
        };
        ctx.spawn(built.into_actor(self).map(move |built, supervisor, ctx| match built {
            Ok(tree) if supervisor.is_stopping => tree.stop(),
            Ok(tree) => {
                let restarts = supervisor.restarts;
                let member = member.to_owned();
                offer(&tree.events(), Record(Event::TreeRestarted { member, restarts }));
                supervisor.started_at_ms = supervisor.clock.now_ms();
                supervisor.tree.send_replace(Some(tree));
            }
            Err(error) => {
                tracing::error!(error, "the node could not be started again");
                if !supervisor.is_stopping {
                    supervisor.restart("start", ctx);
                }
            }
        }));
    }
}

impl<T: Tree> Actor for NodeSupervisor<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

impl<T: Tree> Handler<StopTree> for NodeSupervisor<T> {
    type Result = ();

    fn handle(&mut self, _: StopTree, ctx: &mut Self::Context) {
        self.is_stopping = true;
        if let Some(tree) = self.tree.send_replace(None) {
            tree.stop();
        }
        ctx.stop();
    }
}

impl<T: Tree> Handler<GetRestarts> for NodeSupervisor<T> {
    type Result = MessageResult<GetRestarts>;

    fn handle(&mut self, _: GetRestarts, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.restarts)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use actix::{Addr, Arbiter};

    use super::*;
    use crate::event_log::EventLog;

    /// A member that ends on a panic, as a broken handler would.
    struct Fragile;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Break;

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    impl Handler<Break> for Fragile {
        type Result = ();

        fn handle(&mut self, _: Break, _: &mut Self::Context) {
            panic!("broken on purpose");
        }
    }

    #[derive(Clone)]
    struct SmallTree {
        fragile: Addr<Fragile>,
        log: Addr<EventLog>,
        arbiter: actix::ArbiterHandle,
    }

    impl Tree for SmallTree {
        fn ended_member(&self) -> Option<&'static str> {
            (!self.fragile.connected()).then_some("fragile")
        }

        fn events(&self) -> Recipient<Record> {
            self.log.clone().recipient()
        }

        fn stop(&self) {
            self.arbiter.stop();
        }
    }

    #[actix::test]
    async fn a_member_that_panics_brings_a_fresh_tree() {
        let built = Rc::new(Cell::new(0));
        let counted = Rc::clone(&built);
        let build: Build<SmallTree> = Rc::new(move || {
            counted.set(counted.get() + 1);
            Box::pin(async {
                let arbiter = Arbiter::new().handle();
                let fragile = Fragile::start_in_arbiter(&arbiter, |_| Fragile);
                let log = EventLog::start_in_arbiter(&arbiter, |_| EventLog::default());
                Ok(SmallTree { fragile, log, arbiter })
            })
        });
        let first = build().await.unwrap();
        let (sender, mut trees) = watch::channel(Some(first.clone()));
        let supervisor = NodeSupervisor::new(build, sender, Clock::start()).start();
        first.fragile.send(Break).await.expect_err("the handler panics");
        let deadline = Duration::from_secs(20);
        let fresh = tokio::time::timeout(
            deadline,
            trees.wait_for(|tree| tree.as_ref().is_some_and(|tree| tree.fragile != first.fragile)),
        );
        assert!(fresh.await.expect("in time").expect("published").is_some());
        assert_eq!(built.get(), 2);
        assert_eq!(supervisor.send(GetRestarts).await.unwrap(), 1);
    }
}
