"""Facts about using SwarmLLM: commands, files, endpoints and models.

Read by facts.py, which describes the format. Data only: an answer and the ways to ask for it.
"""

TEXT = """
## start_node
Start a node with the command `swarmllm serve`. It prints its address and looks for other nodes on
your network by itself.
d: [start|launch|run|boot|spin up|bring up|fire up|set up|open] [a|my|the|one|my first|a new|my
  own] node
d: [start|launch|run|boot|set up] {S} [on my {machine}|as a server|as a service for others|]
d: [get|have] a node [running|up and running|going|online] [on my {machine}|]
d: [start|run|launch] the [server|service]
d: turn [my|this] {machine} into a node
d: make [my|this] {machine} [a node|part of the swarm|serve models]
q: how do I start
q: what does swarmllm serve do
q: what is the serve command [for|]
q: how do I get [started|going]
q: what is the first [step|command|thing to do]
q: I [just|have just|] installed {S}, what [now|next|do I do now]
q: [serve|serve command|swarmllm serve]
q: my node is not running, how do I start it

## try_demo
Run `swarmllm demo`: it starts three small nodes on your own computer, splits the built-in model
  over
them, and shows the answer with its route.
d: try [{S}|it|it out|{S} quickly|this without a second {machine}]
d: [see|watch|get|run] a [demo|demonstration|quick demo]
d: test {S} [with one {machine}|on one {machine}|alone|by myself|]
d: [show|demonstrate] {S} to [my boss|my colleagues|somebody|a friend]
q: what does swarmllm demo do
q: what is the demo [command|] [for|]
q: is there a [demo|demonstration|quick test|quick way to try it|trial]
q: what is the [fastest|quickest|simplest|easiest] way to [try|test|see] {S}
q: can I try {S} [alone|on one computer|without other people|on a single machine|with only one PC]
q: where do I [begin|start] if I only want to try it
q: I only have one {machine}, can I [try|test] it
q: [demo|swarmllm demo]

## chat
Type `swarmllm run demo` and your question to chat with the built-in model in the terminal. Use
  another
model's name or file instead of demo if you have one.
d: [chat|talk|speak] [with|to] [a model|the model|you|the built-in model|the demo model] [in the
  terminal|]
d: ask [the model|you|a model] [a question|something] [from the command line|in the terminal|]
d: [run|use|try] a model [in the terminal|from the command line|without a server|without a node]
d: have a conversation [with you|with the model|]
d: send a prompt [to a model|to the model|]
d: [get|generate] an answer [in the terminal|from the command line|]
q: what does swarmllm run do
q: what is the run command [for|]
q: is there a [chat|command line chat|terminal chat|chat mode]
q: [swarmllm run|run|run command]
q: where can I chat

## invite
Run `swarmllm invite` on your node: it prints a `swarm://` code. Your friend passes that code to
`swarmllm serve --join` and is in.
d: invite [a friend|{friend}|people|others|somebody else|more people|another {machine}]
d: [add|bring in|let in|get in] [{friend}|another {machine}|more {machine}s|a second {machine}]
d: share [my swarm|the swarm|access] with {friend}
d: [create|make|get|print|generate] an invite [code|link|]
d: let {friend} [join|join my swarm|in|take part|use my swarm]
d: [connect|link] {friend} [to|with] my [swarm|node]
q: [{friend}|my brother|my sister] [wants|would like] to [join|take part|be part of it|join my
  swarm], what [do I do|now|should I do]
q: I have a friend who wants to [join|take part|help], what do I do
q: what does swarmllm invite do
q: [invite|invitation|invite a friend|swarmllm invite]
q: how can {friend} [get in|join my swarm|join me|become part of my swarm]
q: where do I get [an invite|an invite code|a code for my friend]
q: how does [an invitation|the invite command|inviting] work

## invite_code
An invite code is a text that starts with `swarm://` and holds the address and key of a node.
  Treat it
like a key: whoever has it can join.
t: an invite code
t: the invite code
t: a swarm:// code
t: a swarm:// link
q: what is inside an invite code
q: what does an invite code [look like|contain|hold]
q: can I [publish|post|share] my invite code [publicly|on the internet|]
q: should I keep [the|my] invite code [secret|private]
q: is an invite code [secret|safe to share|a password]

## join
Start your node with `swarmllm serve --join` followed by the invite code you were given. The node
connects and remembers its peers for next time.
d: join [a|the|my friend's|an existing|another|somebody's] swarm
d: [use|redeem|enter|type in] [an|the|my] invite code
d: [connect to|enter|get into|become part of] [a|the|my friend's|an existing] swarm
d: take part in [a|the|my friend's] swarm
d: join [others|my friends|my colleagues] [with my {machine}|]
q: I [got|received|was given|have] [an invite code|a swarm:// code|an invitation|a code], what
  [now|do I do with it|next]
q: {friend} [sent|gave] me [a|an invite] code, what [now|do I do with it|next]
q: what does --join do
q: [join|--join|the join option]
q: where do I [put|paste|enter] the [invite code|code|swarm:// link]

## connect_address
Use `swarmllm connect` with the address of a running node, or give that address to `swarmllm
  serve --join`.
d: connect to [a node|a peer|a peer by address|an IP address|a known address|another node
  directly]
d: add a peer [by hand|manually|by address|by IP]
q: what does swarmllm connect do
q: I know the [IP|IP address|address] of a [node|peer], how do I connect

## peers_cmd
Run `swarmllm peers` to list the peers that your node is connected to, with their addresses and
  round
trip times.
d: [list|show|see|view|display|print] [my|the|all|all my|connected] peers
d: [see|find out|check|know] who is [connected|connected to me|in the swarm|online]
d: [see|find out|check|know] [how many|which] [peers|nodes|computers|machines] are
  [connected|online|in my swarm|there]
d: [see|list|show] [the other|all] [nodes|computers|machines] [in the swarm|]
q: who is [in my swarm|connected|connected to my node|online]
q: how many peers do I have
q: what does swarmllm peers do
q: [swarmllm peers|peers command|list peers]
q: is [anyone|anybody|someone] [connected|else there|online]
q: am I connected [to anyone|to other nodes|]

## status_cmd
Run `swarmllm status` to see how your node is doing: its address, loaded models, peers and running
requests.
d: [see|check|show|view|get] [the status|the state|the health] [of my node|of the node|]
d: [see|check|know|find out] [if|whether] [my node|the node|it] is
  [running|working|alive|up|healthy|OK]
d: [see|check|know] what my node is doing
q: is my node [running|working|alive|up|OK|healthy]
q: what is my node doing
q: how is my node [doing|feeling]
q: what does swarmllm status [do|show]
q: [status|swarmllm status|node status]
q: how do I know that [it works|it is working|everything works]

## show_cmd
Run `swarmllm show` with a model's name or file: it prints the architecture, layers, sizes,
  quantisation
and context length.
d: [inspect|look into|examine|describe] a [model|model file|gguf file]
d: [see|show|get|find|read] [details|information|the metadata|the properties|the architecture]
  [of|about] a model
d: [see|find out|know] how many layers a model has
d: [see|find out] what [is in a|a] gguf file [contains|is|holds]
q: what does swarmllm show do
q: [swarmllm show|show command|inspect model]
q: which command [describes|inspects|explains] a model

## bench_cmd
Run `swarmllm bench` with a model: it measures prefill and decode speed in tokens per second,
  load time
and memory.
d: [measure|benchmark|test|check] [the speed|how fast it is|performance|my {machine}|a model]
d: [run|start|do] a [benchmark|speed test|performance test]
d: [see|find out|know] how [fast|quick] [my {machine}|a model|it] is
q: what does swarmllm bench do
q: [bench|benchmark|swarmllm bench|speed test]
q: is there a [benchmark|speed test]
q: how many tokens per second do I get

## list_models
Run `swarmllm list` to see the models on this computer; `swarmllm ps` shows those that are loaded
  right
now.
d: [list|show|see|view] [my|all|the|available|installed|local] models
d: [see|find out|check|know] which models [I have|are installed|are there|are available|are on my
  disk]
d: [see|find out|check] which models are [loaded|running|in memory]
q: which models do I have
q: what models are [installed|loaded|running|on my computer]
q: what does swarmllm [list|ps] do
q: [swarmllm list|list models|swarmllm ps|ps]

## pull_model
Use `swarmllm pull` with a reference such as `hf:OWNER/REPO:QUANT`. It downloads the GGUF file and
checks it before use.
d: [download|pull|fetch|get|install] [a model|a new model|another model|a bigger model|models]
d: [download|get|fetch] a model from [Hugging Face|the internet|the hub|hf]
d: [add|install] [a|another|a second] model
q: where do I [get|find|download] [models|a model|bigger models]
q: where do models come from
q: what does swarmllm pull do
q: [pull|swarmllm pull|download model]
q: how do I get a bigger model

## own_model
Give the file to the node: `swarmllm serve --model file.gguf`, or chat with it directly with
`swarmllm run file.gguf`.
d: [use|load|run|serve|open] [my own|a local|a] [gguf file|model file|gguf|model from a file]
d: [load|serve|share|offer] [my own|a bigger|another|a different|a certain|a] model [on my node|]
d: [switch|change] [to another|the] model
d: replace [you|the demo model] with a [bigger|better|real] model
q: I have a gguf file, [what now|how do I use it|what do I do with it|can I use it]
q: can I [use|load|run] my own model
q: what does --model do
q: how do I choose [the|a] model [for my node|]

## remove_model
Run `swarmllm rm` with the model's name to delete its files; `swarmllm unload` only takes it out
  of
memory.
d: [delete|remove|erase|get rid of|uninstall] [a|the|an old] model
d: unload a model
d: free [memory|disk space|space|up memory|up space]
q: what does swarmllm [rm|unload] do
q: [swarmllm rm|remove model|unload]
q: how do I take a model out of memory
q: my disk is full [of models|], what can I do

## which_models
SwarmLLM runs models in GGUF format, such as the Llama, Qwen, Mistral, Gemma and DeepSeek
  families, in
many quantisations.
t: supported models
q: [which|what] models [are supported|can I use|can it run|does it run|does {S} support|work|are
  possible]
q: can [it|{S}] run [Llama|Qwen|Mistral|Gemma|DeepSeek|big models]
q: does it [work with|support] [Llama|Qwen|Mistral|Gemma|DeepSeek]
q: what [architectures|model families|kinds of models] are supported
q: is [Llama|Qwen|Mistral|Gemma|DeepSeek] supported

## plan_cmd
Run `swarmllm plan` with a model: it shows which node would hold which layers and whether the
  swarm has
enough memory.
d: [see|find out|check|know] [if|whether] a model fits [in|into|on] [my swarm|the swarm|our
  computers]
d: [see|show|find out] which node [holds|would hold|gets] which layers
d: plan [a model|the layout|the distribution]
q: does [my|a] model fit [in|into] [the swarm|my swarm]
q: do we have enough [memory|computers|nodes] for a [big model|70B model]
q: what does swarmllm plan do
q: [plan|swarmllm plan]

## layers_flag
Start the node with `--layers A-B`, for example `swarmllm serve --layers 0-3`. Without it the
  swarm
decides by itself.
d: [choose|decide|set|fix|pick] which layers my node [holds|serves|loads|gets]
d: [serve|load|hold] only [some|a few|certain] layers
q: what does --layers do
q: can I [choose|decide|pick] [my|the] layers [myself|by hand|]
q: how do I limit my node to [a few|some] layers

## placement
The nodes agree on it themselves: each looks at memory, speed and which layers are rare in the
  swarm, and
loads a shard where it helps most.
t: placement
q: who decides which node [holds|gets|loads] which [layers|shard]
q: how are [layers|shards] [assigned|given|distributed] to [nodes|computers|peers]
q: how does the swarm decide who [holds|does|computes] what
q: how does placement work
q: do I have to [assign|distribute] the layers [myself|by hand]

## doctor
Run `swarmllm doctor`: it checks ports, network, disk, memory and devices, and says what to do
  about each
problem.
d: [find|diagnose|troubleshoot|solve|fix] [a problem|problems|what is wrong|network problems]
d: check my [setup|installation|network|configuration]
q: [something|it|my node] [is broken|does not work|is not working|doesn't work|fails], what
  [now|can I do|do I do]
q: why [can't my node connect|does it not work|is my node not connecting]
q: what does swarmllm doctor do
q: [doctor|swarmllm doctor|troubleshooting]
q: I [have|get] [an error|a problem|errors]
q: nothing works

## devices
Run `swarmllm devices` to list the processors and graphics cards that SwarmLLM can compute on.
d: [see|list|show] [my|the|available] [devices|GPUs|graphics cards|processors]
d: [see|check|find out] [if|whether] my [GPU|graphics card] [is found|is recognised|is
  detected|is seen]
q: what does swarmllm devices do
q: which [GPUs|devices|graphics cards] does it [see|find]
q: [devices|swarmllm devices]

## stop_node
Press Ctrl-C in its terminal. The node finishes or hands over running work and then exits; as a
  service,
use `systemctl stop swarmllm`.
d: [stop|quit|end|kill|shut down|close|turn off|terminate|exit|halt] [a|my|the] node
d: [stop|quit|shut down|close|exit] {S}
d: [stop|shut down|turn off] the [server|service]
q: how do I stop [it|]
q: how do I [quit|exit|turn it off|shut it down]
q: can I [just|simply|] [close|stop|kill] [the node|my node|it] [safely|at any time|]
q: what happens when I [stop|close|quit] my node
q: [stop|shutdown|quit|exit]

## leave
Just stop your node and do not start it with `--join` again. The others notice within seconds and
  carry
on without it.
d: leave [a|the|my] swarm
d: [stop|end] taking part [in the swarm|]
d: [disconnect|withdraw|go away] from the swarm
d: get out of [a|the] swarm
q: can I leave [at any time|whenever I want|the swarm]
q: what happens when [I leave|somebody leaves|a friend leaves]
q: I don't want to [take part|share my computer|be in the swarm] any more

## config_file
The configuration is one TOML file that you pass with `swarmllm serve --config`. Every setting
  has a
sensible default, so you can start without one.
t: the config file
t: the configuration file
t: swarmllm.toml
d: [configure|set up|customise|customize|adjust] [{S}|my node|the node]
d: [change|set|edit] [a setting|settings|options|the configuration]
q: where [is|do I find] the [config|configuration|settings] [file|]
q: what [format|language] is the [config|configuration] [file|]
q: do I need a [config|configuration] file
q: where are the settings
q: can I use environment variables

## config_show
Run `swarmllm config show --origin`: it prints every setting, its value, and where that value
  came from.
d: [see|show|print|check] [my|the|all|current] [settings|configuration|options]
d: [see|find out] where a setting comes from
q: which settings are [active|in use|set]
q: what does swarmllm config show do
q: [config show|show settings]

## data_folder
Models, keys and remembered peers live in the data folder. Choose another place with
`swarmllm serve --data-dir`.
t: the data folder
t: the data directory
t: --data-dir
q: where [are|does {S} store|does it keep] [models|my models|files|the files|data|its data|the
  downloads] [stored|saved|kept|]
q: where is [my|the] data [stored|saved|kept|]
d: [change|move|set|choose] the data [folder|directory]
d: store models on another disk
q: in which [folder|directory] are [the models|my models|the files]
q: where does it save things

## control_socket
The control socket is a local Unix socket through which commands like `swarmllm status` talk to
  the
running node. Only your own user may open it.
t: the control socket
t: a control socket
t: JSON-RPC
q: how do [the commands|commands like status] talk to the node
q: how can a script [control|steer|talk to] the node
q: is there a [local API|control interface|socket]
q: can other users [control|stop] my node
d: [automate|script|remote control] [my|the] node

## systemd
Install the systemd service that comes with the package and run `systemctl enable --now
  swarmllm`. Then
the node starts with the computer.
t: the systemd service
t: systemd
d: [start|run] [a node|{S}|the node|it] [at boot|automatically|when my {machine} starts|after a
  reboot|in the background|as a service|as a daemon]
d: [install|set up] {S} as a [service|daemon|systemd service]
d: keep [a node|my node|it] running [all the time|in the background|for ever|after I log out]
q: is there a [systemd unit|systemd service|service|daemon]
q: does it start [automatically|by itself|after a reboot]
q: can it run in the background

## http_port
Choose them yourself: `swarmllm serve --http ADDR:PORT` for the web interface and API, and
  `--listen
ADDR:PORT` for other nodes.
d: [change|set|choose|pick] the [port|address|HTTP port|listen address|port number]
d: [use|listen on] another [port|address]
d: [reach|open|expose] [the API|my node] from another {machine}
q: which port does [it|{S}] use
q: what does [--http|--listen] do
q: which [ports|port] [must I open|do I have to open|is used]
q: the port is [in use|taken|already used]
q: do I have to open a port [in my firewall|]

## openai
Yes, every node speaks the OpenAI API: use the address that `swarmllm serve` prints, followed by
  `/v1`,
as the base URL of your client.
t: the OpenAI endpoint
t: the OpenAI API
t: the API
q: is there an [OpenAI compatible|OpenAI|OpenAI-compatible] [API|endpoint|server]
q: which [URL|address|base URL|endpoint] do I [use|need|enter] [in my app|for OpenAI clients|for
  my client|]
q: does it [have|offer|support] [an API|an HTTP API|a REST API|the OpenAI API|chat completions]
d: use {S} [with|from] [my app|Python|the OpenAI library|an OpenAI client|my program|my own
  code|curl|LangChain|my editor]
d: [call|use|reach] the API
d: [connect|point] my [app|program|client|editor] to {S}
q: what [is|should I put as] the base url
q: can I [use|replace] OpenAI [clients|with it|libraries]
q: where is the chat completions endpoint
q: does my [app|program|chat client] work with {S}
q: is it compatible with [OpenAI|the OpenAI API|my OpenAI code]

## anthropic
Yes, a node also answers the Anthropic Messages API at `/v1/messages`, so clients written for
  Claude can
use it.
t: the Anthropic endpoint
t: the Anthropic API
t: the Messages API
q: is there an Anthropic [API|endpoint|compatible API]
q: does it [support|speak|offer] the [Anthropic|Claude|Messages] API
d: use {S} [with|from] [Claude Code|an Anthropic client|the Anthropic library|a Claude client]
q: can [Claude|Anthropic] clients [connect|use it|talk to it]
q: what about [Anthropic|Claude] clients
q: what is /v1/messages

## mcp
SwarmLLM has an MCP server at `/mcp`. Assistants and editors can use it to ask models and to look
  at the
node.
t: MCP
t: the MCP server
t: the Model Context Protocol
q: does it [support|speak|have] MCP
q: is there an MCP [server|endpoint]
d: use {S} [as an MCP server|over MCP|from an MCP client]
d: connect [an assistant|an editor|an agent] [by|over|through] MCP
q: what can I do with MCP
q: where is the MCP endpoint

## tool_calls
Yes, models can call tools: send the tool descriptions with the request, and the answer contains
  the call
for your program to run.
t: tool calls
t: tool calling
t: function calling
q: does it support [tools|tool calls|tool calling|function calling|functions]
q: can [the models|a model|you] [call|use] [tools|functions]
q: how do [tool calls|tools|function calls] work
d: [use|call|give the model] [tools|functions]

## streaming
Yes, answers can be streamed: set `stream` to true, and each token arrives as soon as it is made.
t: streaming
q: can [answers|replies|tokens] be streamed
q: does [it|{S}|the API] [support streaming|stream]
d: [stream|get] [the answer|tokens] [token by token|as they come|live|]
q: do I have to wait for the [whole|complete] answer

## dashboard
The dashboard is a web page of your node: open the address that `swarmllm serve` prints, followed
  by `/ui`,
in a browser.
t: the dashboard
t: the web interface
t: the web page
t: the web UI
q: is there a [dashboard|web page|web interface|GUI|graphical interface|website|web UI|user
  interface]
d: open the [dashboard|web page|web interface|web UI]
d: use {S} [in|with] [a|my] browser
d: see [the swarm|my node|what happens] [in a browser|on a web page|graphically]
q: where is the [dashboard|web page|web interface]
q: can I see [it|the swarm|my node] in [the|a|my] browser
q: I don't like the [terminal|command line], is there something else

## metrics
Every node offers `/health`, `/ready` and `/metrics` over HTTP; the metrics are in Prometheus
  format.
t: metrics
t: the health endpoint
d: [monitor|watch|supervise|observe] [my|a|the] node
d: [connect|use] [Prometheus|Grafana|monitoring]
q: are there metrics
q: does it [support|work with] [Prometheus|Grafana]
q: what is [/metrics|/health|/ready]

## json_output
Add `--json` to the command: it then prints exactly one JSON object, which scripts can read
  easily.
d: get [JSON|machine-readable output|output for scripts]
d: use the [output|commands] in a script
q: what does --json do
q: is there [JSON output|machine-readable output]
q: can the commands [print|give|output] JSON

## cli_help
Type `swarmllm --help` for all commands, or add `--help` to one command. The README explains the
  first
steps.
d: [see|list|find] all commands
d: get help [in the terminal|on a command|for a command]
q: which commands [are there|exist|can I use]
q: what commands [are there|exist|does {S} have]
q: where is the [documentation|manual|user guide|README]
q: is there [documentation|a manual|a guide|a tutorial]
q: [commands|documentation|manual|list of commands]
q: where can I [read more|learn more|find more information]

## install
SwarmLLM is a single program without further parts: build it with `cargo build --release` or
  install a
package, then run `swarmllm demo`.
d: [install|build|compile|get|download|set up] {S} [on my {machine}|]
d: build [it|{S}] from source
q: what do I need to install
q: is there a [package|deb package|container|Docker image|binary]
q: [installation|install|how to install]
q: what are the [dependencies|requirements]

## report_bug
Open an issue in the project's repository, say what you did and what happened, and add the output
  of
`swarmllm doctor`.
d: report a [bug|problem|crash|mistake|fault]
d: [ask|get help from] the developers
d: [tell|contact] the [developers|authors|makers] [about a bug|about a problem|]
q: I found a [bug|mistake|problem|crash], [where do I report it|what now|who do I tell|what
  should I do]
q: where [can|do] I report [bugs|a bug|problems|a problem]
q: [it|the program|{S}] crashed, [what now|where do I report that]
q: who do I contact

## contribute
Contributions are welcome: read CONTRIBUTING.md and ARCHITECTURE.md in the source, then send a
  pull request
with a test.
d: [contribute|help with development|send a patch|add a feature|help the project]
d: [read|get|change|see] the source code
q: where is the [source|source code|code]
q: can I [contribute|help|improve it|change the code]
q: is it open source
q: how is the code organised
"""
