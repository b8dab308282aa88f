"""Still more ways to ask for the facts: whole situations, everyday speech, half sentences.

Read by facts.py, which describes the format: a section here adds its questions to the fact of the
same key. Data only.
"""

TEXT = """
## what_is_swarmllm
q: what [is all this|is this all about|does this program do|does this tool do for me]
q: [so|and] what [can|does] {S} [do|offer] [for me|]
q: [give me|I need] the [short version|basics|gist] of {S}
q: {S} [overview|summary|introduction|in a nutshell]
q: I [know|understand] nothing about {S}
q: [people|my friends] talk about {S}, what [do they mean|is that|is it]
q: what [would|could] [I|we|one] use {S} for
q: what is the [main idea|basic idea|concept|vision] of {S}
q: is {S} a [chatbot|model|website|server|cloud service|library|program]
## who_are_you
q: who [or what|] are you [really|actually|]
q: [hi|hello], who is [there|this]
q: what am I [talking|speaking] to
q: are you [SwarmLLM|the demo|the demo model]
q: do you have [feelings|a body|a gender|a soul|a brain]
q: what should people know about you
## who_made_you
q: [by|from] whom were you [made|trained|created]
q: were you [made|trained] by [humans|people|volunteers|a company|a university]
q: what were you [taught|fed|trained] with
q: [did|do] you [use|contain|copy] the weights of [another|a known|a bigger] model
q: who [should|can] I [thank|praise|blame] for you
## not_chatgpt
q: [so you are|you are] [ChatGPT|Claude|Llama|Gemini], right
q: what do you have to do with [ChatGPT|OpenAI|Claude|Llama]
q: [ChatGPT|Claude|Gemini|GPT|Llama], is that you
q: which big model are you based on
## your_size
q: are you a [7B|70B|billion parameter|large] model
q: how [tiny|little|big|large] [are you|is the model in here|is this thing] [exactly|really|]
q: tell me your [size|number of parameters|number of layers]
q: how many [layers|parameters|weights|megabytes] [do you consist of|make you up|is that]
## your_limits
q: you [made|make] [a mistake|mistakes|errors], why
q: why [is|was] your answer [wrong|nonsense|strange|so short]
q: [is|are] [what you say|your words|everything you say] [true|correct|right]
q: may I use you for [real|serious|important] work
q: how [much|far] can I trust [you|this model]
## what_can_you_do
q: what [would|can] you [help me with|tell me about|do for me]
q: tell me what you can do
q: how do you [help|work|answer]
q: what is there to ask
q: can you help me
## node
q: what is [one|a] [member|participant] of the swarm called
q: what [exactly|] is running when I [start|run] a node
q: explain the [term|word|concept|notion] node
q: how many nodes run on one {machine}
## peer
q: explain the [term|word|concept] peer
q: what [do you|does one] call a node [that is connected to mine|I am connected to]
q: are peers [friends|servers|equal|computers|people]
## swarm
q: explain the [term|word|concept] swarm
q: what [is|are] the [members|nodes] [together|as a whole] called
q: how does a swarm [come about|begin|grow]
## shard
q: explain the [term|word|concept|notion] shard
q: what do I [have|hold|store] when my node [has|holds|loads] a shard
q: how [big|large] is a shard
q: [one|a] node holds only [a part|some layers] of the model, [what is that called|how is that
  part called]
q: how do you [spread|divide|distribute] a [big|huge|large] model [over|across|among]
  [small|several|many] [computers|nodes]
q: does [every|each|my] {machine} [hold|store|load] the [whole|full|complete] model
## layer
q: explain the [term|word] layer
q: what is a model made of
q: what are the building blocks of a model
## stage
q: explain the [term|word|concept] stage
q: what is the [job|task|role|work] of [one|a] stage
q: what goes [in|into|out of] a stage
## hop
q: explain the [term|word|concept] hop
q: what do you call [one|a] transfer [from stage to stage|between two nodes|to the next node]
q: are [many|more|fewer] hops [bad|good|better|worse]
## route
q: explain the [term|word|concept] route
q: how [would|can|could] I [see|tell|check] [where|by whom] [my answer|it] was [computed|made]
q: which [computers|machines|nodes] [were used|did the work|took part|helped] [for my answer|]
q: [show|tell] me [the route|the path|the nodes] [of|behind] my answer
## pipeline
q: explain the [term|word|concept] pipeline
q: who does which part of the [work|computation|calculation]
q: how [is|does] one answer [come from|made by] [many|several] [computers|nodes]
q: how do [nodes|computers|machines] share [a model|one model|the computation]
## hidden_state
q: explain the [term|word|concept] hidden state
q: what is in the [messages|packets|data] between [nodes|stages|computers]
q: [what|which data] does [my|one] node [send to|get from|receive from] [another|the next|the
  other] [node|one]
q: is it [text|words|numbers] that [travels|goes] between the nodes
## token
q: explain the [term|word|concept] token
q: what are the [little|small] pieces of text called
q: how many words is a token
## tokenizer
q: explain the [term|word|concept] tokenizer
q: how [does|can] a model [read|understand] [letters|text|words]
q: what happens to my text before the model sees it
## prefill
q: explain the [term|word|concept] prefill
q: what happens to my prompt [first|at the beginning]
q: why [must|do] I wait before [it starts|the answer begins|the first word comes]
## decode
q: explain the [term|word] decoding
q: how does [the|an] answer come [into being|about]
q: does it write the whole answer at once
## kv_cache
q: explain the [term|concept|idea of the] KV cache
q: what are [keys and values|K and V] [stored|kept] for
q: how does it avoid computing [everything|the whole text|earlier tokens] again [and again|for
  every token|]
## prefix_cache
q: explain the [term|concept|idea of the] prefix cache
q: I [sent|asked|used] [nearly|almost|] the same prompt [again|twice] and it was [faster|quick],
  why
q: [must|does] a [shared|common|long] [beginning|start|system prompt] be computed [again|every
  time|anew]
q: is there a cache for prompts
## batching
q: explain the [term|concept|idea of] batching
q: [my team|our class|a whole office|five of us] [wants|want] to use it at the same time, [does
  that work|is that possible]
q: can [several|two|many] [of us|clients|programs] [use|query|ask] [one|the same] node
  [together|at once|]
q: do [parallel|simultaneous] [questions|requests] slow each other down
## speculative
q: explain the [term|concept|idea of] speculative decoding
q: what is [meant by|the point of] guessing [tokens|ahead|the next tokens]
q: how can [two|a small and a big] models work together [to be faster|on one answer|]
q: [how|why] is it faster with a draft [model|]
## draft_model
q: explain the [term|concept of a|word] draft model
q: why [do you|does {S}] [ship|have|need] a [second|smaller|tiny] model
q: who guesses the [next|coming] tokens
## acceptance_rate
q: explain the [term|words] acceptance rate
q: how many guesses are [right|correct|accepted|wrong]
## gguf
q: explain the [term|format|word] gguf
q: which [file|model file|ending|extension] [do I need|works|is needed|is right]
q: can I [use|load] [safetensors|PyTorch files|ONNX|pth files]
q: where are the weights [and the tokenizer|] stored
## quantisation
q: explain the [term|word|concept|idea of] [quantisation|quantization]
q: what does it mean to [store|keep|save] weights [in|with] [fewer|four|less] bits
q: is a [4-bit|quantised|smaller|compressed] model [worse|less accurate|as good|dumber]
q: how do I [fit|squash|get] a [big|large] model into little memory
## q8_0
q: explain the [term|format|name] Q8_0
q: what do the letters Q8_0 [mean|say]
q: is [8 bit|eight bit|Q8_0] [good|exact] enough
## context_length
q: explain the [term|words] context length
q: how much [text|of our conversation] do you [see|remember|keep in mind]
q: can I [give|paste|send] you a [whole book|long text|long document]
q: is my [text|prompt|question] too long
## sampling
q: explain the [term|word|concept] [sampling|temperature|greedy]
q: the answer [changes|is different] every time, why
q: how do I make it [more|less] [creative|random|boring|predictable]
q: where do I [set|change] [the temperature|the seed]
## embedded_model
q: explain the embedded model
q: is something [included|built in|shipped] [to try|for a first test|]
q: which model is [inside|in the program|included]
q: can I [start|begin] without [any|a] model [file|]
## start_node
q: [what|which] [line|words] do I [type|enter] to [start|get started]
q: I [have|got] {S} [on my {machine}|installed|here], how do I [start|run|launch] it
q: let [my|this] {machine} [join in|work|serve|be a node]
q: how does [one|a person|my {machine}] become [a node|part of the network]
q: how is [a|the] node [started|launched|run|brought up]
q: what [starts|launches|runs] [a|the|my] node
## try_demo
q: how [is|can] it [be|] [tried|tested] on a single {machine}
q: [what|which] command [runs|shows|starts] the [demo|demonstration]
q: can [I|you] [show|prove|demonstrate] that it [works|really works]
q: [a|I need a|is there a] [quick|short|small] [test|example|trial] [please|]
q: I'd like to [play around|experiment|look around] [first|a bit|]
## chat
q: how do I [have|start] a [chat|conversation|talk] [here|in the terminal|from the shell]
q: how is a [question|prompt] [asked|sent|put] [from the command line|in the terminal|]
q: I [only|just] want to ask the model something
q: how do I use the model [directly|without a node|from a terminal]
## invite
q: how is [a friend|somebody|a new member|a colleague] [invited|added|brought in]
q: [what|which] command [do I need|is there] to [invite|add] {friend}
q: {friend} [should|shall|is going to|wants to] [join|help|take part|be in my swarm]
q: how do [we|I] get more [people|machines|nodes|members] [into|in] [the|our|my] swarm
q: how [can|do] I [make|help] {friend} [join|become a member|get in]
q: my swarm [should|needs to] grow, what do I do
q: what does {friend} need [from me|] to [join|get in|take part]
## invite_code
q: explain [the|what an] invite code [is|]
q: [somebody posted|there is|I see] a swarm:// [link|code|text], what is [that|it]
q: is it dangerous to share [the|my] invite [code|link]
## join
q: how is an invite [code|] [used|redeemed]
q: {friend} has a swarm, how do I [get in|join|take part]
q: [which|what] option [takes|needs|wants] the [code|invite code]
q: there is already a swarm, how do I [join it|get in|add my computer to it]
## peers_cmd
q: [are|is] [other nodes|others|somebody|anybody] [connected|there|around|with me]
q: who [am I|is my node] connected to
q: how do I see [the others|everybody|my neighbours|all members]
q: list [all|the] [connected|] [nodes|peers|machines]
## status_cmd
q: did [my|the] node start [correctly|properly|]
q: how do I see [the state|what is going on|what happens|how it goes] [on my node|]
q: is [it|the thing|my server] [still|] [up|running|alive|on]
q: report the [state|status|health] of my node
## show_cmd
q: what [kind of|] model is [in|inside] [this|a] file
q: how many layers does [this|a|my] model [file|] have
q: tell me [more|] about [this|a] model file
## bench_cmd
q: how do I find out [the speed|how fast my hardware is]
q: [can|how can] I [time|measure] [a model|it|tokens per second]
q: is my {machine} fast enough
## list_models
q: what [have I|did I] [downloaded|installed] [so far|already|]
q: are there [any|] models on [my|this] {machine}
q: which model is [active|loaded|running|in use]
## pull_model
q: [where|how] [can|do] I [get|find|fetch] [Llama|Qwen|Mistral|a good model|something better]
q: can it [load|fetch|take] a model from [Hugging Face|the internet|the web]
q: how [do|can] I [download|get] [Llama|Qwen|Mistral|Gemma]
## own_model
q: I have [Llama|Qwen|Mistral|a model] [as a file|on my disk|already], how do I [use|run|load] it
q: how do I [serve|run|use] another model [than the demo|]
q: which option [sets|chooses|loads] the model
## remove_model
q: how is a model [deleted|removed|unloaded|thrown away]
q: throw away [a|an old|the] model
q: [the|a] model takes too much [space|memory|room], how do I get rid of it
## which_models
q: is [Llama 3|Qwen 3|Mixtral|Phi|a reasoning model] [possible|supported|working]
q: what kind of models [work|run|can be used] [here|with {S}|]
q: do you [support|know|run] [Llama|Qwen|Mistral|Gemma|DeepSeek]
## plan_cmd
q: [is|are] our [swarm|computers|machines] [big|strong|large] enough for [it|a 70B model|a big
  model]
q: how would a model be [split|laid out|placed] on our nodes
## layers_flag
q: [can|how can] I [force|tell] my node to [hold|load|serve] [layers 0 to 3|the first
  layers|certain layers]
## placement
q: [how|by whom] is it decided [who|which node] [holds|gets|computes] what
q: does [somebody|a boss|a server] [give out|assign|distribute] the layers
q: which layers does [my|a new] node [get|take|load]
## doctor
q: [it|my node|the swarm] [can't|cannot|does not] [find anyone|connect|reach anybody|work], why
q: [I|we] [have|got] a problem with [my|the] node
q: what [should I|can I|to] do when [it fails|nothing works|there are errors|it does not connect]
q: is there a [self test|check|tool to find problems]
## devices
q: how do I know that [the|my] [GPU|graphics card] is used
q: what [GPUs|devices|hardware] [are|is] available
## stop_node
q: how is [a|the|my] node [stopped|ended|shut down|switched off|turned off]
q: [which|what] [command|key] [do I need|is there] to stop
q: I want to [stop|quit|end|go home|shut it down]
q: what is the [right|proper|clean|correct] way to [stop|end|quit|shut down] [a node|it|]
q: turn [it|the node|my node|everything] off
## leave
q: how is a swarm left
q: how do I [end|cancel|quit] my [membership|participation]
q: my {machine} should no longer [take part|be in the swarm|help]
## config_file
q: how is [a node|it|{S}] configured
q: where [are|do I write] [options|my options|the options] [kept|]
q: does it have [a settings file|settings|a config|options]
## config_show
q: which [value|setting] is [used|in force] [and why|]
q: print [the|my] [configuration|settings]
## data_folder
q: where [on disk|] [are|is] [things|the model|everything|my identity key] [kept|stored|saved]
q: can [the files|models|the data] [be|live] on another [disk|drive]
q: which folder [should|must] I back up
## control_socket
q: how do [scripts|programs] [control|command|ask] [a|the] node
q: who may use the control socket
## systemd
q: [can|how can] the node [start|run] [without me|on its own|at every boot|when I am logged out]
q: I do not want to start [it|the node] [by hand|every time|manually|each morning]
q: how is it [installed|set up] as a service
## http_port
q: another program [uses|has] [the|that] port
q: where do I set the [port|address]
q: how do I make the API [reachable|visible|available] [for others|from outside|in my network]
## openai
q: how [does|can|could] [my program|a program|my script|Python|JavaScript] [talk
  to|use|call|reach] [it|the model|{S}]
q: what do I [put|enter] as [OpenAI|API|base] URL
q: [I use|my app uses|we have] the OpenAI [library|API|client], [can it work with this|does that
  work|what do I change]
q: can [it|{S}] replace the OpenAI API
q: is there [an API|an endpoint|something] for [developers|programs|my code]
## anthropic
q: [I use|my app uses] the Anthropic [library|API|client], does that work
q: is /v1/messages [there|supported|available]
## mcp
q: [I want|we want] to [use|connect] [an agent|MCP|a coding assistant]
q: explain the MCP server
## tool_calls
q: is [function calling|tool use|tool calling] [possible|supported|available]
q: my program [has|offers] functions, can the model [call|use] them
## streaming
q: does [the answer|text] come [bit by bit|at once|in pieces]
q: is streaming [possible|supported|available]
## dashboard
q: is there [anything|something|a page] I can [open|see|visit] in [a|my|the] browser
q: how do I [open|reach|get to|find] the [dashboard|web page|web interface|user interface]
q: [I prefer|I want] [a mouse|a window|a graphical interface|clicking]
## metrics
q: how do I know that [the|a] node is [ready|healthy]
q: is there something for [Prometheus|Grafana|monitoring]
## json_output
q: [my script|a program] needs [JSON|the numbers|the output]
q: how do I [parse|process] the output
## cli_help
q: how do I [know|learn|remember] [the|all the|all] commands
q: where is [it|everything|all this] [explained|documented|described|written down]
## install
q: how is [it|{S}] [installed|built|compiled]
q: do I need [Rust|cargo|a compiler|Docker] [to install it|]
q: what [is|must be] [installed|there] before I can use it
## report_bug
q: [where|how] [should|do|can] I [complain|report|tell]
q: it [crashed|panicked|hangs|gives an error|stopped working], who [fixes|helps]
## contribute
q: how [can|do] I [help|support] the project
q: where [is|do I find|can I read] [the|your] [code|source|repository]
## discovery
q: how does [one|my] {machine} know [that|where] [the others|other nodes] [are|exist]
q: how [is|are] [a node|other nodes|peers|the other computers] found
q: in [what|which] ways can nodes [find|discover|meet] [each other|others]
q: who tells my node about [the others|other nodes|peers]
q: what [ways|methods] of [discovery|finding peers] [are there|exist|does it use]
## mdns
q: explain the [term|word|protocol] mDNS
q: [two|our|my] computers are in the same [room|network|house|office|LAN], do they [find|see]
  each other
q: how does it find [nodes|computers] nearby
## no_mdns
q: [nobody|no one] on the [LAN|network|local network] should [see|notice|find] my node
q: how is mDNS [turned off|disabled|switched off]
## peer_exchange
q: explain [the term|] peer exchange
q: I know only one [node|peer|address], how do I [find|meet|learn about] the rest
## dht
q: explain the [term|] [DHT|Kademlia]
q: where [is|do I find] the information which node holds which [layers|shard]
## peer_cache
q: after [a restart|a reboot|the weekend|holidays], does it [reconnect|come back|find the others]
q: does it [keep|store|remember] the [addresses|list] of peers
## nat
q: explain [NAT|hole punching|the relay]
q: can [we|two nodes|friends] connect [over the internet|from home to home|across the
  world|between two houses]
q: my [router|firewall|provider] blocks [connections|everything|ports]
## node_dies
q: what [do you do|does the swarm do|does {S} do] [if|when] [a|one] [node|peer|computer] [is
  gone|fails|dies|stops answering|vanishes|breaks down]
q: [a|one|my friend's] [node|computer|laptop|peer] [goes|went|is] [to
  sleep|offline|away|dead|down], what [happens|now|then]
q: [can|will|does] my answer [survive|continue|go on] [if|when] [a|one] [node|computer|peer]
  [fails|dies|is lost|disappears]
q: do I have to [ask again|start over|repeat my question] [if|when] [a node|somebody|one
  computer] [fails|leaves|dies]
q: what if a [part|stage|layer|machine] of the [chain|pipeline|swarm] [breaks|is
  missing|fails|dies]
## one_answer
q: is it [exactly|really|] the same [text|answer|output] [as|like] [on|from] [one|a single]
  [computer|node|machine]
q: do I lose [quality|accuracy] [by|when] [splitting|sharing|using several nodes]
q: is a [split|shared|distributed] model [worse|different|less exact|as good]
q: [do|will] [two|three|five] nodes [say|answer|write] [the same|something else|something
  different]
## how_many_nodes
q: how [many|few] [computers|machines|nodes|people] does it [take|need]
q: I have [one|two|only one|only two|three] [computers|machines|PC], is that enough
q: must I have [friends|other people|more computers|a second computer] to use it
## mixed_hardware
q: one {machine} is [old|slow|weak], [can it|may it] [join|help|take part]
q: [our|my] [computers|machines] are [very|quite|] [different|unequal], does [it|that]
  [work|matter]
q: who gets more layers
## bandwidth
q: is [it|{S}] heavy on [the network|my connection|my data plan]
q: how [large|big] is the data between nodes
q: does it [need|use|take] [much|a lot of] [bandwidth|traffic|data]
## speed
q: what makes it [slow|fast]
q: how [quickly|soon] does [it|the model|the swarm] answer
q: is it [faster|slower] with [more|many|two] [nodes|computers]
q: [are|is] [big models|a 70B model] [fast|slow|usable]
## memory
q: how many gigabytes [do I need|are needed|does it take]
q: [I have|my laptop has|we have] [8|4|16|32] GB, [is that enough|what can I run]
q: will it [fill|eat|use up] my [memory|RAM]
## gpu
q: [is it|does it run|can it run] [only|] on [GPUs|graphics cards|CPUs|processors]
q: [I have|my laptop has|our computers have] no [GPU|graphics card], [is that okay|what now|can
  we join]
q: what hardware [acceleration|] does it use
q: [does it need|is there a need for] [special|expensive] hardware
## internet
q: [is it|does it work as] an online service
q: our [office|school|lab] has no internet [access|], can we use it
q: must [my computer|the nodes|we] be [online|connected to the internet]
## offline
q: how do I [disconnect|isolate|cut off] [it|my node] from [the network|everyone|all others]
q: it [should|must] not [talk|connect] to [anybody|anyone|others]
## can_peers_see
q: [is|can] what I [write|type|ask] [be|] [seen|read|visible|known] [by others|by the other
  nodes|to anyone|]
q: [what|how much] [do|does] [the other nodes|the owner of a node|my friend's computer|a helper]
  [see|learn|know] [of my text|of my prompt|about what I ask|]
q: could [somebody|a bad node|the person next door|an unknown node] [spy|snoop|listen in|read
  along]
q: who [gets|comes] to [see|read] my [words|text|prompt|messages]
q: is there a [privacy|data protection] [problem|risk|issue]
q: [do|can] [nodes|peers|stages] [see|know|reconstruct|recover] the [prompt|text|words|original
  text]
q: are [my secrets|my texts|prompts] safe [from|with] [the other nodes|strangers|peers]
q: does splitting the model [hide|protect] my [text|prompt]
## private_prompts
q: I want [privacy|to be private|nobody to read my prompts]
q: how is [privacy|my privacy|a secret prompt] [protected|kept|handled]
q: [how|where] do I ask [something|things] that nobody [may|should] [see|know|read]
q: what [do you recommend|is the advice|is best] for [private|secret|confidential] [prompts|data]
## pool
q: explain the [term|word|concept] pool
q: how do [friends|colleagues|we] [form|make] a [closed|private] group
q: I only want [my friends|people I know|our team] in it
## encryption
q: how do you [protect|secure|encrypt] the [data|traffic|connection]
q: is the [line|network|wire|transport] [safe|encrypted|secret]
q: can [someone|anyone|people] [on the way|in the middle|in the same wifi|at the provider]
  [read|see|record] [it|my data|the tensors]
q: what [encryption|crypto|algorithm] [protects|secures] the [line|connection|traffic]
q: does it [use|have] [strong|] encryption
## noise
q: explain the [term|protocol|] Noise [XX|]
q: how [is|does] a [connection|secure channel|session] [set up|begin|start]
## identity
q: explain the [term|] [peer id|Ed25519|identity key]
q: how [is|does] [my|a] node [known|named|identify itself]
q: does a node have a [name|key|password|certificate|passport]
## security
q: [what|which] [dangers|risks|threats] [are there|exist|do I run]
q: should I be [afraid|worried|careful] [to join|with strangers|]
q: is my {machine} [safe|at risk|in danger]
## cheating
q: how [are|is] [wrong|fake|false] [results|answers] [found|noticed|detected|prevented]
q: do nodes [trust|check|control|verify] each other
q: what if [somebody|one of the nodes] [sends|returns|gives] [garbage|nonsense|wrong numbers] [on
  purpose|]
## credits
q: explain the [term|] [points|credits]
q: what [is|are] [my|the] points [worth|good for]
q: do I [get|receive|earn] [anything|something] [back|in return|for it] [when I help|when I share
  my computer|]
q: [is|are] [giving|sharing|helping] [rewarded|paid]
q: do I become rich [with it|]
## ledger
q: explain the [term|word] ledger
q: how [do you|does it] [keep|track|remember] who did [what|how much]
## tiers
q: explain the [term|word] tier
q: whose [request|question|prompt] [is|comes] first
## no_server
q: does it need a [central|main] server
q: what [if|happens if] the [main|central] server [fails|is down|goes away]
q: who is [behind|above] the network
q: is everyone equal
## cloud
q: is [it|{S}] a cloud [service|product]
q: where does my [data|text|prompt] go
q: do you [spy|listen|record]
q: does [somebody|the company|the maker] [get|see|receive] [my data|usage data|statistics]
## licence
q: what [am I|are we] allowed to do with [it|the code|{S}]
q: can [I|we|a company|my employer] [use|sell|change|distribute|embed] {S} [legally|]
q: [which|what] [terms|conditions|licence terms] [apply|are there]
q: explain the licence
## price
q: [do|will] I [get|receive] a bill
q: is there a [price|cost|charge]
q: how much [money|] [is it|do I need|must I spend]
## language
q: is the code [in|] [Rust|C++|Python|Go]
q: what [is it|was it] [coded|made|built] [in|with]
q: which [tools|stack|technologies] [was it made with|do the developers use]
## actix
q: explain actix
q: how is the program organised inside
## burn
q: explain burn
q: what [computes|calculates] the tensors
## platforms
q: [my computer|my machine|my laptop] [runs|has] [Windows|Linux|macOS|Ubuntu], [does it work|can
  I use it]
q: is [Windows|macOS|ARM|a Raspberry Pi|Linux] supported
q: where does it run
## why_use
q: what makes [it|{S}] [good|better|special|worth it]
q: how does [it|{S}] help [me|us]
q: why [a swarm|several computers|not one big computer]
q: [our|my] computers are too [small|weak] for a big model
## difference
q: what [can|does] {S} do that [Ollama|llama.cpp|others] [can't|does not|cannot]
q: [Ollama|llama.cpp|vLLM] or {S}
q: how [is|are] [it|you] [different|unlike|other] [than|from] [Ollama|the others|similar programs]
"""
