//! One bucket of the DHT's table: an actor for each range of distances in which anybody is known.
//!
//! Started by `dht_router` with its first news, ended when it is empty and the router lets go of
//! it. Who is listed is decided by `swarmllm_protocol::kademlia::Bucket`; this carries news in and
//! wishes out, and wakes it.

use std::collections::VecDeque;

use actix::{Actor, Context, Handler, Message, Recipient};
use swarmllm_protocol::kademlia::{Bucket, BucketIndex, BucketNews, BucketOutput};

use crate::clock::{Alarm, Clock};
use crate::mailbox::{self, offer};

/// Event. Sender: dht_router.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct News(pub BucketNews);

/// Event. Handler: dht_router. What a bucket wants. When the box is full, it is said again a little
/// later: the router must know who is listed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BucketWants {
    /// Which bucket.
    pub index: BucketIndex,
    /// What.
    pub output: BucketOutput,
}

/// Event. Handler: dht_router, which lets go of the bucket unless more news are on their way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BucketEmpty {
    /// Which bucket.
    pub index: BucketIndex,
    /// How many news it has heard.
    pub heard: u64,
}

/// How long a full box is left alone.
const FULL_BOX_MS: u64 = 100;

/// The actor.
pub struct DhtBucket {
    index: BucketIndex,
    bucket: Bucket,
    heard: u64,
    /// What the router has not heard yet, oldest first.
    unsaid: VecDeque<BucketOutput>,
    wants: Recipient<BucketWants>,
    empty: Recipient<BucketEmpty>,
    alarm: Alarm,
    clock: Clock,
}

impl DhtBucket {
    /// A bucket that reports to the router.
    pub fn new(
        index: BucketIndex,
        bucket: Bucket,
        wants: Recipient<BucketWants>,
        empty: Recipient<BucketEmpty>,
        clock: Clock,
    ) -> DhtBucket {
        let (unsaid, alarm) = (VecDeque::new(), Alarm::default());
        DhtBucket { index, bucket, heard: 0, unsaid, wants, empty, alarm, clock }
    }

    /// Carries out what the bucket wants, and says so when nothing is left of it.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        let index = self.index;
        self.unsaid.extend(std::iter::from_fn(|| self.bucket.poll_output()));
        while let Some(output) = self.unsaid.front().copied() {
            if !offer(&self.wants, BucketWants { index, output }) {
                break;
            }
            self.unsaid.pop_front();
        }
        if self.bucket.is_empty() && self.unsaid.is_empty() {
            offer(&self.empty, BucketEmpty { index, heard: self.heard });
        }
        let again_ms = (!self.unsaid.is_empty()).then(|| self.clock.now_ms() + FULL_BOX_MS);
        let wakeups = [again_ms, self.bucket.next_wakeup_ms()];
        self.alarm.set(self.clock, wakeups.into_iter().flatten().min(), ctx, Self::wake);
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.alarm.rang();
        self.bucket.handle_wakeup(self.clock.now_ms());
        self.drive(ctx);
    }
}

impl Actor for DhtBucket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::DHT_BUCKET);
    }
}

impl Handler<News> for DhtBucket {
    type Result = ();

    fn handle(&mut self, News(news): News, ctx: &mut Self::Context) {
        self.heard += 1;
        self.bucket.handle(self.clock.now_ms(), news);
        self.drive(ctx);
    }
}
