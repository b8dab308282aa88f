"""Conversations of two to four turns: topics in a row, and follow-ups that lean on the turn before.

Called by corpus.py. Not run by itself. `dialogue` and `long_dialogue` draw one list of messages.
"""

from random import Random

from arithmetic import arithmetic
from facts import BY_KEY, FACTS, Fact
from grammar import dress, expand, frame
from scope import out_of_scope, small_talk

# key of the turn before -> (key of the follow-up, ways to ask it there)
FOLLOW_UPS = {
    "start_node": [
        ("stop_node", ["[and|] how do I stop it [again|]", "and how do I turn it off",
                       "how do I [end|quit] it"]),
        ("invite", ["[and|] how do I invite {friend}", "how can {friend} join it"]),
        ("status_cmd", ["[and|] how do I see [whether|if] it is running", "is it running"]),
        ("config_file", ["[and|] where is its configuration", "can I configure it"]),
        ("http_port", ["on which port", "and on which port does it listen"]),
    ],
    "try_demo": [
        ("start_node", ["and then", "and a real node", "and how do I start a real node"]),
        ("chat", ["can I chat with it", "and how do I ask my own question"]),
    ],
    "chat": [
        ("own_model", ["can I use another model", "and with my own model"]),
        ("your_size", ["how big is that model", "is it big"]),
    ],
    "invite": [
        ("join", ["[and|] what does my friend do with [it|the code]", "and then",
                  "what does [he|she] have to do"]),
        ("can_peers_see", ["what can [he|she|my friend] see then", "can they read my prompts"]),
        ("invite_code", ["what is in that code", "is the code secret"]),
    ],
    "join": [
        ("leave", ["[and|] how do I leave [it|] again", "can I get out again"]),
        ("peers_cmd", ["[and|] how do I see the others", "who else is there"]),
        ("can_peers_see", ["what can they see", "can the others read my text"]),
    ],
    "shard": [
        ("stage", ["and a stage", "how is that different from a stage"]),
        ("placement", ["who decides which one I get", "which one do I get"]),
        ("layer", ["and a layer"]),
    ],
    "node": [
        ("peer", ["and a peer", "how is a peer different"]),
        ("start_node", ["how do I start one", "and how do I start it", "how can I run one"]),
    ],
    "stage": [("hop", ["and a hop"]), ("route", ["and a route"])],
    "hop": [("route", ["and a route"])],
    "can_peers_see": [
        ("private_prompts", ["how do I protect myself", "what can I do about [it|that]",
                             "how can I prevent that"]),
        ("encryption", ["but isn't it encrypted", "even with encryption"]),
        ("pool", ["what is a pool", "and what is such a pool"]),
    ],
    "private_prompts": [("pool", ["what is a pool", "how does that pool work"])],
    "encryption": [
        ("can_peers_see", ["so [can|could] a peer still read it", "and what can peers see"]),
        ("noise", ["what is Noise", "explain Noise"]),
    ],
    "what_is_swarmllm": [
        ("start_node", ["how do I start [it|]", "and how do I run it"]),
        ("try_demo", ["how do I try it", "can I try it"]),
        ("price", ["what does it cost", "is it free"]),
        ("language", ["what is it written in"]),
        ("who_made_you", ["who made it"]),
    ],
    "who_are_you": [
        ("your_size", ["how big are you"]), ("who_made_you", ["and who made you"]),
        ("what_can_you_do", ["and what can you do"]),
    ],
    "your_size": [("your_limits", ["is that enough", "and what can't you do"])],
    "mdns": [("no_mdns", ["[and|] how do I turn it off", "how do I disable it"])],
    "speculative": [("draft_model", ["which small model", "what is the draft model"])],
    "quantisation": [("q8_0", ["and Q8_0", "which one do you use"])],
    "credits": [("tiers", ["and what is a tier"]), ("ledger", ["where are they kept"])],
    "node_dies": [("one_answer", ["is the answer still the same", "and is it the same text"])],
    "discovery": [
        ("mdns", ["what is mDNS"]), ("dht", ["what is the DHT"]),
        ("peer_exchange", ["what is peer exchange"]),
    ],
    "prefill": [("decode", ["and decode", "and what comes after it"])],
    "openai": [("anthropic", ["and Anthropic"]), ("streaming", ["can it stream"])],
    "pull_model": [
        ("list_models", ["and how do I list them", "how do I see it"]),
        ("remove_model", ["[and|] how do I delete it [again|]"]),
    ],
    "gpu": [("devices", ["how do I see if it is found", "which ones does it find"])],
    "internet": [("offline", ["how do I make sure of that", "is there an offline mode"])],
}
SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "Answer briefly.", "You are a friendly assistant.", "You are SwarmLLM.", "Be concise.",
    "You answer questions about SwarmLLM.", "You are an assistant. Answer in one or two sentences.",
]


def ask(rng: Random, fact: Fact) -> str:
    """One typed question for a fact."""
    return dress(rng, frame(rng, fact.topics, fact.tasks, fact.questions))


def ask_late(rng: Random, fact: Fact) -> str:
    """One typed question for a fact, from the wordings of the finishing phase."""
    return dress(rng, frame(rng, [], [], fact.finishing))


def turn(question: str, answer: str) -> list[dict]:
    """A user message and the answer to it."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def maybe_system(rng: Random, messages: list[dict], share: float) -> list[dict]:
    """Puts a generic system message in front of some conversations."""
    if rng.random() < share:
        return [{"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}, *messages]
    return messages


def long_dialogue(rng: Random) -> list[dict]:
    """A long chat of five to nine turns, so that the model also works far into its context."""
    messages: list[dict] = []
    for _ in range(rng.randint(5, 9)):
        if rng.random() < 0.8:
            fact = rng.choice(FACTS)
            messages += turn(ask(rng, fact), fact.answer)
        else:
            messages += turn(*rng.choice([small_talk, out_of_scope, arithmetic])(rng))
    return messages


def dialogue(rng: Random) -> list[dict]:
    """A conversation: facts in a row or with follow-ups, sometimes with small talk around them."""
    messages: list[dict] = []
    if rng.random() < 0.2:
        messages += turn(*small_talk(rng))
    if rng.random() < 0.6:
        fact = BY_KEY[rng.choice(list(FOLLOW_UPS))]
        messages += turn(ask(rng, fact), fact.answer)
        for _ in range(2):
            follow_ups = FOLLOW_UPS.get(fact.key)
            if not follow_ups or (len(messages) > 3 and rng.random() < 0.5):
                break
            key, forms = rng.choice(follow_ups)
            fact = BY_KEY[key]
            messages += turn(dress(rng, expand(rng, rng.choice(forms))), fact.answer)
    else:
        for fact in rng.sample(FACTS, rng.choice([2, 2, 3])):
            messages += turn(ask(rng, fact), fact.answer)
    if rng.random() < 0.25:
        messages += turn(*rng.choice([small_talk, out_of_scope, arithmetic])(rng))
    return maybe_system(rng, messages, 0.1)
