//! A long prompt among running streams: what they feel of it, and what it feels of them.
//!
//! In turn, on the same nodes: the newcomer alone; streams alone; streams with a newcomer that
//! comes once all of them speak. Gaps between a stream's tokens count that touch the time in which
//! the newcomer's prompt is read or, without it, in which all streams speak. Streams are broken off
//! once the newcomer has spoken. No prompt is used twice.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Instant;

use clap::Args;
use futures_util::future::{join, join_all};
use serde_json::json;
use swarmllm::local::LocalAnswer;
use swarmllm_models::Tokenizer;
use tokio::sync::Notify;

use crate::client::{End, Heard, Patience, ask};
use crate::figures::Sorted;
use crate::swarm::{self, LabError, Layout};
use crate::workload::{Request, Solo, Subject};

/// Tokens of the newcomer's answer: its first is what counts.
const NEWCOMER_TOKENS: usize = 4;
/// Tokens that every stream has said before the newcomer comes.
const SPOKEN: usize = 4;

/// Options of `long-prompt`.
#[derive(Args)]
pub(crate) struct LongPromptArgs {
    #[command(flatten)]
    layout: Layout,
    /// Streams that run.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Tokens of a stream's prompt.
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Most tokens of a stream: enough to outlast the newcomer's prompt.
    #[arg(long = "gen", default_value_t = 384)]
    new_tokens: usize,
    /// Tokens of the newcomer's prompt.
    #[arg(long, default_value_t = 4096)]
    long: usize,
    /// What the prompts are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Streams, perhaps a newcomer, and when all streams spoke.
struct Scene {
    streams: Vec<Heard>,
    newcomer: Option<Heard>,
    all_speak_at: Option<Instant>,
}

/// Measures; true when everything heard is what a single sequence says.
pub(crate) async fn run(args: LongPromptArgs) -> Result<bool, LabError> {
    let subject = Subject::open(&args.layout.model)?;
    let longest = (args.long + NEWCOMER_TOKENS).max(args.prompt + args.new_tokens);
    subject.check_fits(longest)?;
    let mut prompts = subject.prompts(args.seed);
    let mut streams = |n_tokens| prompts.requests(args.streams, args.prompt, n_tokens);
    // Without a newcomer nothing has to be outlasted.
    let (quiet, disturbed) = (streams(args.new_tokens.min(64)), streams(args.new_tokens));
    let mut newcomers = prompts.requests(3, args.long, NEWCOMER_TOKENS);
    newcomers[0].tokens.truncate(args.prompt);
    let (nodes, _) = swarm::start(&args.layout).await?;
    let control = &nodes.nodes()[0].control;
    // The first answer warms pages and sockets and is not counted.
    ask(control, &newcomers[0], Patience::Endless, |_| ()).await;
    let alone = ask(control, &newcomers[1], Patience::Endless, |_| ()).await;
    let undisturbed = scene(control, &quiet, None).await;
    let scene = scene(control, &disturbed, Some(&newcomers[2])).await;
    drop(nodes);

    let newcomer = scene.newcomer.as_ref().ok_or(
        "streams ended before all of them spoke: take a model whose answers do not end early \
         (`cargo xtask perf-model`), or a larger --gen",
    )?;
    let first_text_at = newcomer.text_at.first().copied();
    let streams_left = scene.streams.iter().filter(|stream| Some(stream.ended_at) >= first_text_at);
    let streams_left = streams_left.count();
    let mut judge = Judge { solo: Solo::load(&subject, longest, args.layout.threads)?, wrong: 0 };
    let quiet_said = judge.expected(&quiet, &undisturbed.streams)?;
    let said = judge.expected(&disturbed, &scene.streams)?;
    judge.expected(&newcomers[1..2], std::slice::from_ref(&alone))?;
    judge.expected(&newcomers[2..], std::slice::from_ref(newcomer))?;
    let identical = judge.wrong == 0;

    let quiet_gaps = undisturbed.gaps(&quiet_said, &subject.tokenizer, undisturbed.all_speak_at);
    let gaps = scene.gaps(&said, &subject.tokenizer, Some(newcomer.asked_at));
    let n_gaps = gaps.0;
    let (itl_alone_p99_ms, itl_p99_ms) = (quiet_gaps.1.at(0.99), gaps.1.at(0.99));
    let (ttft_alone_ms, ttft_ms) =
        (alone.ttft_ms().unwrap_or(f64::NAN), newcomer.ttft_ms().unwrap_or(f64::NAN));

    let object = json!({
        "model": args.layout.model, "stages": args.layout.stages, "streams": args.streams,
        "long": args.long,
        "itl_alone_p50_ms": quiet_gaps.1.at(0.5), "itl_alone_p99_ms": itl_alone_p99_ms,
        "itl_p50_ms": gaps.1.at(0.5), "itl_p99_ms": itl_p99_ms,
        "itl_p99_ratio": itl_p99_ms / itl_alone_p99_ms, "n_gaps": n_gaps,
        "ttft_alone_ms": ttft_alone_ms, "ttft_ms": ttft_ms, "ttft_ratio": ttft_ms / ttft_alone_ms,
        "streams_left": streams_left, "identical": identical,
    });
    if args.json {
        println!("{object}");
    } else {
        println!("{} streams, then a prompt of {} tokens", args.streams, args.long);
        println!("between tokens, p99   {itl_alone_p99_ms:9.1} ms undisturbed");
        println!("                      {itl_p99_ms:9.1} ms while it is read ({n_gaps} gaps)");
        println!("its first token       {ttft_alone_ms:9.1} ms alone");
        println!("                      {ttft_ms:9.1} ms among streams");
        println!("streams still running {streams_left:9} when it spoke");
        println!("identical             {identical:>9}");
    }
    Ok(identical)
}

/// Runs the streams; once all speak, the newcomer if there is one, and then breaks them off.
async fn scene(control: &Path, streams: &[Request], newcomer: Option<&Request>) -> Scene {
    let spoken: Vec<Cell<usize>> = streams.iter().map(|_| Cell::new(0)).collect();
    let all_speak_at = Cell::new(None);
    let (all_speak, end) = (Notify::new(), Notify::new());
    let running = Cell::new(streams.len());
    let listen = |index: usize| {
        let (spoken, all_speak_at, all_speak) = (&spoken, &all_speak_at, &all_speak);
        move |n_texts| {
            spoken[index].set(n_texts);
            if all_speak_at.get().is_none() && spoken.iter().all(|n| n.get() >= SPOKEN) {
                all_speak_at.set(Some(Instant::now()));
                all_speak.notify_one();
            }
        }
    };
    let one = |(index, request)| {
        let (end, all_speak, running) = (&end, &all_speak, &running);
        let listen = listen(index);
        async move {
            let patience =
                if newcomer.is_some() { Patience::Until(end) } else { Patience::Endless };
            let heard = ask(control, request, patience, listen).await;
            running.set(running.get() - 1);
            if running.get() == 0 {
                all_speak.notify_one();
            }
            heard
        }
    };
    let arrived = RefCell::new(None);
    let arrival = async {
        let Some(newcomer) = newcomer else { return };
        all_speak.notified().await;
        if all_speak_at.get().is_some() {
            *arrived.borrow_mut() = Some(ask(control, newcomer, Patience::Endless, |_| ()).await);
        }
        end.notify_waiters();
    };
    let (streams, ()) = join(join_all(streams.iter().enumerate().map(one)), arrival).await;
    Scene { streams, newcomer: arrived.into_inner(), all_speak_at: all_speak_at.get() }
}

impl Scene {
    /// How many gaps between tokens there were, and how long, that touch the time from a moment
    /// until the newcomer spoke or, without one, until the first stream ended behind it.
    fn gaps(
        &self,
        said: &[LocalAnswer],
        tokenizer: &Tokenizer,
        from: Option<Instant>,
    ) -> (usize, Sorted) {
        let ends = self.streams.iter().map(|stream| stream.ended_at);
        let first_end = ends.filter(|ended_at| Some(*ended_at) > from).min();
        let spoke_at = self.newcomer.as_ref().and_then(|newcomer| newcomer.text_at.first());
        let until = spoke_at.copied().or(first_end);
        let streams = self.streams.iter().zip(said);
        let gaps = streams.flat_map(|(stream, said)| stream.gaps(said, tokenizer));
        let counted = gaps.filter(|gap| Some(gap.ended) >= from && Some(gap.began) <= until);
        let gaps: Vec<f64> = counted.map(|gap| gap.ms).collect();
        (gaps.len(), Sorted::of(gaps))
    }
}

/// Compares what was heard with what a single sequence says.
struct Judge {
    solo: Solo,
    wrong: usize,
}

impl Judge {
    /// The answers of a single sequence, as far as they were heard.
    fn expected(
        &mut self,
        requests: &[Request],
        heard: &[Heard],
    ) -> Result<Vec<LocalAnswer>, LabError> {
        let mut answers = Vec::new();
        for (request, heard) in requests.iter().zip(heard) {
            let mut request = request.clone();
            if matches!(heard.end, End::Cancelled) {
                // Some tokens say nothing, so there are more of them than pieces of text.
                let n_texts = heard.text_at.len();
                request.max_tokens = request.max_tokens.min(n_texts + n_texts / 4 + 16);
            }
            let answer = self.solo.fresh_answer(&request)?;
            let is_right = match heard.end {
                End::Cancelled => heard.begins(&answer),
                End::Answered(_) | End::Failed(_) => heard.is(&answer),
            };
            self.wrong += usize::from(!is_right);
            answers.push(answer);
        }
        Ok(answers)
    }
}
