"""Conversations with tools, in the chat template's own format.

Called by corpus.py. Not run by itself. `tool_dialogue` draws `(tools, messages)`: a request that
needs a tool, the call, its result and the final answer; or a request that needs none of them.
"""

import json
from random import Random

from arithmetic import problem
from dialogues import ask, maybe_system, turn
from facts import FACTS
from grammar import dress, expand
from scope import CITIES

NAMES = "ada alan grace linus edsger barbara ken dennis margaret donald".split()
MODELS = "demo demo-draft llama-8b qwen-7b mistral-7b gemma-2b".split()


def _spec(name: str, description: str, /, **parameters: str) -> dict:
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


SPECS = {
    "get_weather": _spec("get_weather", "Get the weather of a city", city="string"),
    "get_time": _spec("get_time", "Get the time in a city", city="string"),
    "list_peers": _spec("list_peers", "List the connected peers"),
    "node_status": _spec("node_status", "Get the status of a node", name="string"),
    "load_model": _spec("load_model", "Load a model on this node", model="string"),
    "calculate": _spec("calculate", "Calculate with two numbers", a="integer", op="string",
                       b="integer"),
}
REQUESTS = {
    "get_weather": ["[what is|how is|tell me] the weather [like|] in {city}",
                    "will it rain in {city}",
                    "[do I need an umbrella|is it sunny|is it cold] in {city}", "weather {city}"],
    "get_time": ["what time is it in {city}", "[tell me|what is] the time in {city}",
                 "time {city}"],
    "list_peers": ["[list|show|get] [my|the|all] peers", "who is connected [right now|now|]",
                   "which peers are [online|connected|there] [now|right now|]"],
    "node_status": ["[what is|get|check|show] the status of [the|] node {name}",
                    "is [the|] node {name} [up|running|alive|fine]", "how is node {name} doing"],
    "load_model": ["[load|start|open] the model {model} [please|]", "please load {model}",
                   "can you load {model} [for me|]"],
    "calculate": ["[what is|calculate|compute] {a} {op} {b}", "how much is {a} {op} {b}"],
}


def _case(rng: Random, name: str) -> tuple[dict, dict, str]:
    """Arguments, a result and the final answer for one call."""
    if name == "get_weather":
        city, sky = rng.choice(CITIES), rng.choice(["sunny", "cloudy", "rainy", "windy", "snowy"])
        degrees = rng.randint(-5, 35)
        result = {"sky": sky, "celsius": degrees}
        return {"city": city}, result, f"In {city} it is {sky} with {degrees} degrees."
    if name == "get_time":
        city, clock = rng.choice(CITIES), f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        return {"city": city}, {"time": clock}, f"In {city} it is {clock}."
    if name == "list_peers":
        peers = rng.sample(NAMES, rng.randint(1, 3))
        text = " and ".join([", ".join(peers[:-1]), peers[-1]] if len(peers) > 1 else peers)
        return {}, {"peers": peers}, f"Connected peers: {text}."
    if name == "node_status":
        node, state = rng.choice(NAMES), rng.choice(["running", "stopped", "busy", "starting"])
        return {"name": node}, {"status": state}, f"The node {node} is {state}."
    if name == "load_model":
        model = rng.choice(MODELS)
        return {"model": model}, {"loaded": True}, f"The model {model} is loaded."
    a, op, b, value = problem(rng)
    return {"a": a, "op": op, "b": b}, {"result": value}, f"{a} {op} {b} is {value}."


def tool_dialogue(rng: Random) -> tuple[list[dict], list[dict]]:
    """Tools and a conversation that uses one of them, or rightly none."""
    names = rng.sample(list(SPECS), rng.choice([1, 1, 2]))
    specs = [SPECS[name] for name in names]
    if rng.random() < 0.25:
        fact = rng.choice(FACTS)
        return specs, maybe_system(rng, turn(ask(rng, fact), fact.answer), 0.2)
    name = rng.choice(names)
    arguments, result, answer = _case(rng, name)
    request = expand(rng, rng.choice(REQUESTS[name]).format(**arguments))
    call = {"name": name, "arguments": arguments}
    messages = [
        {"role": "user", "content": dress(rng, request) if not arguments else request},
        {"role": "assistant", "content": "", "tool_calls": [{"function": call}]},
        {"role": "tool", "content": json.dumps(result)},
        {"role": "assistant", "content": answer},
    ]
    return specs, maybe_system(rng, messages, 0.2)
