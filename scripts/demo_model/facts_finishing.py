"""A last set of wordings for every fact, used only in the finishing phase of the training.

Read by facts.py, which describes the format: a section here adds its questions to the fact of the
same key. Data only. Each fact gets a situation, an everyday question and a question turned round.
"""

TEXT = """
## what_is_swarmllm
q: [I was told|somebody told me] to [try|install|use] {S}, what [is it|does it do|is that]
  [anyway|]
q: what [is|would be] a [good|simple|short] description of {S} for [non-experts|newcomers|my
  parents]
q: [does|can] anybody [tell|explain to] me what {S} [is|does|is made for]
## who_are_you
q: [I do not know|I'd like to know|tell me] who [you are|I am talking to|is answering here]
q: [are you|am I talking to] a [language model|real person|small model]
q: [may|can|could] I [ask|know] [your name|who you are|what you are]
## who_made_you
q: [somebody|who] must have [made|trained] you, [who was it|who]
q: [whose|which] [work|people|developers|brains] [are you|made you|stand behind you]
q: [tell me|what is] [your|the] origin [of you|]
## not_chatgpt
q: you [sound|look|talk] like [ChatGPT|Claude|GPT], [are you|is it you]
q: [is|was] [ChatGPT|Claude|Llama|Gemini] used [here|for this|to make you]
q: [does|is] [OpenAI|Anthropic|Google|Meta] [run|own|behind|inside] [this|you|this chat]
## your_size
q: [compared with|next to] other models, how [big|small] are you
q: [what|how much] [space|room] does [the demo model|this model] [need|take]
q: [is|are] [5|five|6|six|ten] [million|megabytes] [right|about your size]
## your_limits
q: [I do not|should I] [believe|trust] [a word|everything] [you say|from you]
q: [is it|would it be] wise to [trust|rely on] [you|a tiny model|this model]
q: [where|when] do you [fail|go wrong|make mistakes]
## what_can_you_do
q: [I have|there is] no idea what to [ask|type|say]
q: [which|what] [subjects|topics|things|questions] [are you|do you] [cover|trained
  for|understand|know]
q: [could|can] you [give|show] me [a few|some] [things|examples] [to ask|I can try]
## node
q: [the docs|they] [always|] [speak|talk] of nodes, what [are those|do they mean|is that]
q: [would|do] you call [my laptop|a running process|one computer] a node
q: a node is [what exactly|what|which thing]
## peer
q: [the docs|they] [speak|talk] of peers, what [are those|do they mean]
q: [in|for] {S}, [when|why] is [something|a node] a peer
q: [what|who] counts as [a|my] peer
## swarm
q: [the docs|they] [speak|talk] of a swarm, what [is that|do they mean]
q: when do [several|some] nodes [become|form] a swarm
q: a swarm is [what exactly|what|made of what]
## shard
q: [the docs|they] [speak|talk] of shards, what [are those|do they mean|is that]
q: [which|what] [portion|fraction|section] of a model [does|can] [one|a] node [keep|take|have]
q: [what|for what] is [the purpose of|the reason for] [cutting|splitting|slicing|chopping] [a
  model|models]
## layer
q: [the docs|they] [speak|talk] of layers, what [are those|do they mean]
q: between [which|what] [parts|things] is a model [cut|split]
q: a layer is [what exactly|what]
## stage
q: [the docs|they] [speak|talk] of stages, what [are those|do they mean]
q: how would you [describe|explain] one stage [of the route|]
q: a stage is [what exactly|what]
## hop
q: [the docs|they] [speak|talk] of hops, what [are those|do they mean]
q: [does|will] [another|each|every|one more] hop [add|mean|cause] [delay|waiting|more time]
q: a hop is [what exactly|what]
## route
q: [afterwards|later], how [can|do] I [see|find out|check] [who|which nodes|which computers] [did
  it|helped|worked]
q: is [it|the path] [recorded|written down|shown] [somewhere|] which [nodes|machines]
  [answered|were used]
q: a route is [what exactly|what]
## pipeline
q: [so|and] how [exactly|] do [the|several] [machines|nodes|computers] [cooperate|work on one
  answer|split the work]
q: [what|how] is the [flow|course] of [an answer|a request] through the [nodes|machines]
q: a pipeline is [what exactly|what]
## hidden_state
q: [one|a] node [sends|gives|passes] something to the next, what is [it|that]
q: [which|what] [kind|sort] of [data|numbers|information] [do|is] [nodes|the nodes]
  [exchange|exchanged|hand on|pass on]
q: hidden states are [what exactly|what]
## token
q: [the docs|they] [speak|talk] of tokens, what [are those|do they mean]
q: is [every|each|one] word [one|a] token
q: [how do|do] words [relate to|differ from|equal] tokens
## tokenizer
q: [which|what] [part|piece|component] [makes|produces] [tokens|numbers] [from|out of]
  [text|letters|words]
q: [before|how] does [the model|it] [turn|change|translate] my [words|sentence|letters] into
  numbers
q: a tokenizer is [what exactly|what]
## prefill
q: [nothing|no word] appears for a [moment|second|while] [at first|at the beginning], [why|what
  happens then]
q: [why|how come] [is|does] the first [word|token] [so slow|late|take longer]
q: prefill is [what exactly|what]
## decode
q: [which|what] phase comes after [prefill|reading the prompt]
q: [why|how come] [does it write|is the text written] one [token|word] after [another|the other]
q: decoding is [what exactly|what]
## kv_cache
q: [keys|attention keys] and values [are kept|stay in memory|are cached], [why|what for]
q: [what|which] cache [remembers|holds] [the|earlier] [tokens|keys and values]
q: the KV cache is [what exactly|what]
## prefix_cache
q: [I|we] [repeat|send|ask] the same [long|] [prompt|text] [again|twice|often], [is it|does it
  get] [faster|cached]
q: [why|how come] [was|is] the second [time|try|run|request] [so|much] [fast|faster|quicker]
q: the prefix cache is [what exactly|what]
## batching
q: [our|my] [whole|] [team|class|family|office] [asks|uses it|wants answers] [at once|at the same
  time|together], [does that work|is it possible|is that okay]
q: [how|can it] [handle|deal with|serve] [many|several|a lot of] [users|people|askers|requests]
  [at once|in parallel|]
q: batching is [what exactly|what]
## speculative
q: [explain|describe] [the trick|how it works] [that|when] tokens [are|get] [guessed|predicted]
  [ahead|before]
q: [why|how] does [guessing|predicting] [ahead|tokens|the next tokens] [help|make sense|save time]
q: speculative decoding is [what exactly|what]
## draft_model
q: [what|why] [is there|do I see] a second [tiny|small|little] model
q: what [use|good|job] [is|has] the [draft|small draft|little] model
q: a draft model is [what exactly|what]
## acceptance_rate
q: [the docs|they] mention an acceptance rate, what is [it|that]
q: how [high|large] is the share of accepted tokens
q: acceptance rate is [what exactly|what]
## gguf
q: [what|which] [type|kind|sort] of [file|model file] do I [have to|need to|must]
  [use|have|bring|give it]
q: [must|should|does] [a|the|my] model [be|come as] a gguf file
q: gguf is [what exactly|what]
## quantisation
q: [does|will] [using fewer bits|shrinking|compressing|quantising] [a model|the weights|it]
  [hurt|harm|make it worse|cost quality]
q: [why|what for] [do people|does one] [compress|shrink|quantise] [weights|models]
q: quantisation is [what exactly|what]
## q8_0
q: [I see|there is] Q8_0 in [the|a] [file name|name|list], what [is that|does it mean]
q: [how many bits|what] [are in|is behind] Q8_0
q: Q8_0 is [what exactly|what]
## context_length
q: [what|how long] is the [longest|maximal|maximum] [question|prompt|text] [for you|I may send|]
q: how [many words|much text|long a prompt] [fits|fit|may I use] [at most|at once|]
q: [at what|from which] length [is|does] a prompt [too long|get cut]
## sampling
q: [I want|I'd like|give me] [fixed|stable|less random|more random|more creative] [answers|output]
q: [how do|can] I [get rid of|avoid|reduce] [randomness|the randomness|chance]
q: [each|every] [time|run] [gives|brings] another [answer|text], [why|how do I stop that]
## embedded_model
q: [must|should|do] I [first|] [get|fetch|load|download] a model [before I can try it|to begin]
q: [is|comes] [a|any] model [already|] [there|included|on board|with it]
q: the embedded model is [what exactly|what]
## start_node
q: [I want|time] to [get going|begin|get started], [what do I type|how]
q: [what|which] is the command for [a|my] [node|first node|server]
q: [a|my] node [should|shall|is supposed to] [start|run|be started] [here|now|], how
## try_demo
q: [just|only] [a|for a] [quick|short|first] [look|glance|impression|try], [how|what do I type]
q: [how|what] can I [see|try|do] [without|before] [setting anything up|installing more|inviting
  anybody]
q: [let me|I want to|may I] [see|watch] [a demo|a demonstration|how it runs|it run]
## chat
q: [I want|I'd like] to [ask|type|write] [something|a question] [in|from|on] [my|the]
  [terminal|shell|console|command line]
q: [what|which] command [answers|takes] [one|a|my] [question|prompt]
q: [the|a] [little|small|built-in|demo] model [should|shall] [answer|reply to] me in the
  [shell|terminal|console]
## invite
q: {friend} [asks|asked] for [access|an invitation|a code|a way in], [how|what do I do|what do I
  give]
q: [what|which code|which command] do I [give|send|pass|hand] [to|on to|] {friend} [to join|to
  get in|]
q: {friend} [has|owns] [a|another|a spare] {machine} [to add|for our swarm|that could help],
  [how|what now]
## invite_code
q: [may|should|can] I [post|show|publish|tweet|print] [my|the] [swarm:// link|invite code|code]
  [in public|online|]
q: [what|how dangerous] is it if [others|strangers] [know|have|get] [my|the] [code|invite code]
q: an invite code is [what exactly|what]
## join
q: {friend} [mailed|texted|handed|gave|sent] me [a|this|the] [swarm:// link|code|invite
  code|invitation], [where does it go|what do I do|how do I use it]
q: [where|how] [does|do] [the|an] [invite|code|link] [go|get used|belong]
q: [a|my] node [should|shall] [join|enter] [an existing|my friend's|another] swarm, how
## connect_address
q: [connect|I want to connect] [to|with] [192.168.1.5|an IP|a certain machine|a host]
q: [how do I|can I] [reach|contact|dial] [a peer|a node|one node] [by|at] [its|an|a known] address
q: [I have|there is] [an|the] [IP|address] of [a|another] [node|peer], what now
## peers_cmd
q: [how do I|can I] get [an overview|a table|a list] of [everyone|those|the peers|the people]
  [connected|in the swarm|with me]
q: [which|what] [other|] [machines|nodes] [is|are] [my node|mine] [linked|connected] [to|with]
q: [the|a] list of [peers|members|connected nodes] [please|]
## status_cmd
q: [how|where] [do I see|can I check] [that|whether|if] my node [is alive|lives|is healthy|is
  okay|works]
q: [is|how is] [the|my] node [still|] [okay|alive|well|up]
q: [the|a] [state|status|health report] of [my|the] node [please|]
## show_cmd
q: [there is|I have] a [gguf|model] [file|] and [want|would like] to [look inside|see what it
  is|know more]
q: [what|which command] [tells|shows] [the architecture|the layers|the details|what is inside]
q: [details|information|facts] [about|on] [a|one|my] model [please|]
## bench_cmd
q: [how many|what number of] tokens [per|a] second [does|will|can] [my|this] {machine}
  [make|manage|reach|do]
q: [I'd like|give me|I need] [speed figures|numbers on speed|a measurement]
q: [the|a] speed test [please|of my machine]
## list_models
q: [which|what] models [do I have|are] [on|in] [my|this|the] [disk|drive|machine|memory]
q: [where|how] [do|can] I [see|look up] [what models|which models] [I own|there are|exist here]
q: [the|a] list of [models|installed models] [please|]
## pull_model
q: [I|we] [need|want|wish for] [a larger|a stronger|a cleverer|another] model [from the
  internet|from Hugging Face|]
q: [where|how] [is|can] a model [be|] [downloaded|fetched|pulled]
q: [the demo|this model] is too small, [where is|how do I get] a [bigger|better] one
## own_model
q: [the|a|my] model [file|] is [already|] [here|on my disk|downloaded], how do I
  [use|serve|run|load] it
q: [how|can I] make my node [use|serve|load|run] [this|my|another] [file|model|gguf]
q: [which|what] flag [loads|takes|names] [a|my|the] model [file|]
## remove_model
q: [that|this|one] model [can go|must go|is no longer wanted|is useless], how [do I delete it|]
q: [get|how do I get] [a|an unused|the old] model [off my disk|away|out of memory]
q: [cleaning|clean] up [models|old models|my disk], how
## which_models
q: [can|could|may] I [run|use|take] [Llama|Qwen|Mistral|DeepSeek|Gemma] [with it|here|too|]
q: [are|is] [all|only some|only Llama] [models|] [possible|allowed|supported]
q: [the|a] list of [supported|possible|usable] [models|families|architectures]
## plan_cmd
q: [would|could|can] [our|my|these|three|five] [PCs|computers|machines|nodes] [hold|run|carry] [a
  70B model|a big model|it]
q: [before|can I know before] loading: does [a model|it] fit
q: [the|a] plan [of|for] [who holds what|the layers|a model] [please|]
## layers_flag
q: [I want|can I have] [only|just] [layers 0 to 3|a few layers|the first layers] on my node
q: [how|can I] [set|fix|restrict] the layer range [of my node|by hand|]
q: [which|what] flag [sets|picks|limits] the layers
## placement
q: [which|what] [rule|logic|process] [decides|says] [who gets which layers|where layers go]
q: [is|must] [it|the layout] [be|] [decided|planned|arranged] [by me|by hand|by the nodes
  themselves]
q: [how|why] did my node [get|load] [these|its] layers
## doctor
q: my node [refuses|fails|is unable] to [connect|start|find others|work], [help|why|what now]
q: [what|which command] [finds|diagnoses|explains] [problems|errors|what is wrong]
q: [something|a thing] [goes wrong|is broken|is strange] [here|with my node|], [help|what now]
## devices
q: [which|what] [cards|GPUs|devices|processors] [can|could|does] {S} [use|see|compute on]
q: [my|the] [card|GPU] [seems|is] not [used|found|seen], how do I check
q: [the|a] list of [devices|GPUs|cards] [please|]
## stop_node
q: [I'm|I am] [done|finished|through|ready], how [do I|can I] [close|end|stop|shut down] [it|the
  node|my node|everything] [properly|cleanly|]
q: [the|my] node [should|shall|must] [stop|end|go down|be stopped] [now|], how
q: [how|which way] [do|can] I [power down|switch off|turn off|end] [the|my] [node|server|thing]
## leave
q: [I|we] [do not|no longer] want to [be in|belong to|stay in] [the|this] swarm [any more|]
q: [I|we] [am|are] leaving the swarm, [how|what do I have to do]
q: [how|which way] [do|can] I [go|get out|drop out|resign]
## config_file
q: [I want|how do I] [to change|change] [a setting|settings|some options] [in|] [which file|where]
q: [which|what] file [do I edit|is edited|must I edit] [for|to change] [settings|the
  settings|options]
q: [the|a] settings file [is where|where]
## config_show
q: [which|what] [settings|values] does my node [really|] [use|run with|have]
q: [where|why] [does|is] [this|a] [value|setting] [come from|set like that]
q: [the|a] list of [settings|all settings|options in force] [please|]
## data_folder
q: [where|in which place] [do|did] [my|the] [downloads|models|files|downloaded models]
  [go|land|end up|get stored]
q: [which|what] [folder|directory] [does it write to|is used for files|has my keys]
q: [the|my] files [should|shall] [be|go] on [another|a bigger] [disk|drive], how
## control_socket
q: [how|by what means] [do|does] [local commands|swarmllm status|commands] [reach|talk to|find]
  the [running node|node]
q: [what|which] [file|socket|interface] [lets|allows] [scripts|programs] control the node
q: the control socket is [what exactly|what]
## systemd
q: [after|upon] [every|each|a] [reboot|restart|boot] the node [should|shall|must] [come up|run|be
  there] [again|by itself|]
q: [the|my] node [should|shall] [always|permanently] run [in the background|]
q: [how|can I] [run|have|keep] it as a [background service|system service|daemon|service]
## http_port
q: [port|the port] [8080|80|3000|5000|] is [taken|occupied|in use|not free], [what now|how do I
  choose another]
q: [how|where] do I [tell|give] it [another|a different|a certain] [port|address]
q: [which|what] [flag|option] [sets|changes] the [port|address]
## openai
q: [what|which] [base URL|URL|address] [goes|belongs|do I write] [into|in] [my|the]
  [client|OpenAI client|app|code]
q: [my|our|existing] [Python|OpenAI|JavaScript] [code|scripts|programs] [should|shall|could]
  [use|talk to|work with] it, how
q: [is|does] it [speak|understand|compatible with|follow] the OpenAI [format|protocol|API|style]
## anthropic
q: [is|does] it [speak|understand|compatible with|follow] the [Anthropic|Claude]
  [format|protocol|API|style]
q: [my|our|existing] [Anthropic|Claude] [code|scripts|programs|client] [should|could] use it
q: [requests|messages] in [Anthropic|Claude] [format|style], [does it understand them|possible]
## mcp
q: [my|an] [editor|assistant|agent] [speaks|uses|wants] MCP, [does that work|can it connect]
q: [is|does] it [speak|understand|have] [the Model Context Protocol|MCP]
q: MCP is [what exactly|what]
## tool_calls
q: [can|may|could] [the|a] model [call|run|use|trigger] [functions of mine|my functions|my
  code|external tools]
q: [my|own] [functions|tools] [in a chat|with the model], [possible|does that work]
q: [how|can I] [give|offer] [the model|it] [tools|functions]
## streaming
q: [can|could] I [watch|see] [the text|tokens|words] [live|as it comes|while it writes]
q: [is|will] the [answer|reply] [be|] [streamed|sent in pieces]
q: [I do not want|do I have] to wait [until the end|for the full text]
## dashboard
q: [is there|do you have] [something|anything] to [look at|see|click|open] [in|with] [the|a|my]
  browser
q: [a|some|any] [graphical|visual|web] [view|page|interface] of [the swarm|my node|it] [please|]
q: [what|which address] do I [open|type] in [the|my] browser
## metrics
q: [our|my] [monitoring|Prometheus|Grafana] [should|shall|wants to] [watch|scrape|read] [the
  node|it]
q: [is|are] [a health check|health checks|metrics|a readiness probe] [there|available|offered]
q: [which|what] [URL|endpoint|path] [shows|tells] [health|metrics|whether it is ready]
## json_output
q: [can|could] [a command|the output|swarmllm] be [read by a program|machine readable|in JSON]
q: [which|what] [flag|option] [gives|prints|makes] JSON
q: JSON [output|please|from a command]
## cli_help
q: [where|how] can I [look up|see|find] [the|all|other] [commands|options|flags]
q: [is|are] there [any|] [instructions|docs|help pages|more commands]
q: [which|what] [other|] commands [exist|do you have|are available]
## install
q: [how|what] do I [have to|need to] [do|install|run] to [have|get] [it|{S}] [on|onto] [my|a]
  {machine}
q: [is|are] there [many|other|any] [parts|programs|dependencies] to install
q: [set|setting] up {S} from [scratch|zero|nothing]
## report_bug
q: [it|something] [behaves|works] [strangely|badly|wrongly], [who wants to know|where do I write]
q: [bugs|a bug|errors|crashes] [go|are reported|should be sent] [where|to whom]
q: [who|where] [takes|reads] [bug reports|complaints]
## contribute
q: [I can|let me] [program|code|write Rust], [how can I help|can I take part in the development]
q: [are|is] [patches|a patch|help|pull requests] welcome
q: [the|your] source [code|] is where
## discovery
q: [how|by what] [do|does] [machines|a machine|nodes] [get to know|notice|learn of|come across]
  [each other|the others] [without a server|]
q: [there is|with] no [central|] server, [so|] how [do they|do nodes|does it] find [each
  other|anyone|peers]
q: [which|what] [mechanism|technique|protocol] [finds|discovers] [peers|other nodes]
## mdns
q: [in|on] [one|the same|our|a] [house|home|wifi|network|office|room], how [do|does] [two
  nodes|computers|a node] [notice|find|see|meet] [each other|the others]
q: [does it|will it] [see|find|detect] [the other|my other|our] [computers|machines|laptops] [at
  home|in the office|here] [by itself|]
q: mDNS is [what exactly|what]
## no_mdns
q: [I'd rather|I prefer|please let me] not [announce|show|advertise] [it|my node|myself] [on the
  LAN|on the office network|at work|on this network]
q: [the|my] node [should|shall] [be silent|stay hidden|not be seen] [on|in] [the|this]
  [LAN|network|local network]
q: [which|what] [flag|option] [disables|stops|turns off] mDNS
## peer_exchange
q: [do|will] [nodes|peers] [pass on|share|tell] [addresses|each other's addresses|the peers they
  know]
q: [knowing|with] one [peer|node|address], [can I|do I] [reach|find|meet] [the rest|all others]
q: peer exchange is [what exactly|what]
## dht
q: [how|where] [does|do] [a node|nodes] look up [who holds|the holder of] [a shard|some layers]
q: [which|what] [structure|table|index] [knows|says] who has [what|which shard]
q: the DHT is [what exactly|what]
## peer_cache
q: [tomorrow|next week|after a break], does my node [still|] [know|find|remember] [its|the] peers
q: [must|do] I [enter|use|paste] the [code|invite] [again|every time|twice]
q: [are|does it keep] [known|old] peers [kept|remembered|]
## nat
q: [does|will|can] it [get through|work behind|cross|survive] [my|a|our] [home|]
  [router|firewall|NAT]
q: [two|our] [houses|homes|cities|networks], [one swarm|can they connect|does it work]
q: [what|how] about [routers|firewalls|NAT|closed ports]
## node_dies
q: [somebody|one person|a friend] [shuts|closes|turns off|restarts|unplugs] [the lid|a laptop|a
  computer|their machine] [meanwhile|while I wait|during my answer], [what then|what happens|is
  it lost]
q: [one|a] [machine|laptop|node] [stopped|crashed|lost its network|died] [in
  between|halfway|during my request], [is my answer lost|what now|what happens to my answer]
q: [is|will] [the|my] [answer|reply|text] [be|] [lost|gone|cut off|incomplete] [then|when a node
  dies|after a crash]
## one_answer
q: [does|will|would] the [text|reply|answer|output] [change|differ|look different] [when|if]
  [more|two|other|several] [nodes|computers|machines] [take part|help|compute it]
q: [same|identical|equal] [answer|text|tokens] [on|with|from] [one or many nodes|every number of
  nodes|one node and three]
q: [is|are] [one|a] [node|computer] and [many|four] [nodes|computers] [giving|saying] the same
## how_many_nodes
q: [is|would] [one|a single|only one] [computer|PC|laptop] [already|be|] enough [to begin|to
  start|]
q: [must|do] [we|I] have [two|three|many|several] [nodes|machines|computers]
q: [what|how many] [number of|] nodes [is|are] [needed|required|necessary|recommended]
## mixed_hardware
q: [is|would] [a|my|our] [weak|tiny|ancient|second-hand|slow]
  [laptop|computer|PC|machine] [be|] [useful|welcome|of use|any good] [here|in the swarm|]
q: [we|our office] [have|has] [old and new|very different|unequal] [computers|machines|laptops],
  [okay|does it work|is it a problem]
q: [must|do] [nodes|machines|all computers] [match|have equal hardware|be similar]
## bandwidth
q: [is|will] [my|a] [slow|normal|mobile|home] [line|connection|internet] [be|]
  [enough|sufficient|okay]
q: how [many|much] [kilobytes|megabytes|traffic|data] [per token|per answer|does a hop need]
q: [does|will] it [clog|fill|overload] my [network|line|wifi]
## speed
q: [how|is it] [slow|fast|quick] [will it be|in practice|really|]
q: [what|why] [costs|takes] [the most|so much] time
q: [can|do] more [machines|nodes] make [it|answers] [faster|slower]
## memory
q: [how|what] [much|amount of] [memory|RAM] [should|must|does] [each|every|one]
  [machine|node|computer] [have|need|offer]
q: [my|a] {machine} [has|with] [only|] [2|4|8] [GB|gigabytes], [okay|is it enough|can it help]
q: [the|what] memory [needs|demand|requirements] [are what|of a node|of a big model]
## gpu
q: [is|are] [an NVIDIA card|an expensive GPU|a gaming card|special cards|CUDA] [required|needed|a
  must|necessary]
q: [can|will] [a|an] [simple|ordinary|cheap|normal] [laptop|processor|CPU|computer] [do|run it|be
  enough] [without a card|]
q: [must|do] I [buy|own|have] [a|some] [graphics|video] card [first|for it|]
## internet
q: [can|will|does] it [run|work|be used] [on a ship|in a train|in the woods|on an island|in a
  village] [without|with no] [internet|connection]
q: [no|there is no|we lack] internet [here|at our place|at all], [does it|will it|can it]
  [still|] [work|run] [between our computers|on our LAN|]
q: [is|are] the [web|internet|online connection] [a must|needed|required]
## offline
q: [is|there] [there|] a [mode|switch|way] [so that|in which] nobody [learns|sees|knows] what I
  [ask|do|type]
q: [it|my node] [should|shall|must] [stay|remain|be] [alone|isolated|on this computer|without
  contact]
q: [which|what] [flag|option] [cuts|stops|forbids] [the network|all connections]
## can_peers_see
q: [could|can|might|would] [a|any|some] [stranger|outsider|peer|unknown node|other user] [find
  out|figure out|learn|see|read|recover] [what I typed|my text|my question|what I asked]
q: [are|is] [strangers|others|someone|anybody] able to [read|see|get] [my conversations|what I
  write|my texts|my prompt]
q: [who|which people] [can|could|might] [look at|read|see|know] [my|our]
  [conversations|questions|prompts|texts]
## private_prompts
q: [how|where] [should|can|do] I [work with|handle|ask about|treat]
  [confidential|secret|private|sensitive] [texts|material|things|papers]
q: [this|my text] is [secret|confidential|private|not for everyone], [what should I do|how do I
  ask]
q: [best|good|safe] [practice|way|advice] for [private|confidential|secret] [prompts|texts]
## pool
q: [what|which word] [do you call|is used for|names] [a|the] [trusted|closed|private]
  [group|circle] [of nodes|of friends|]
q: [can|how can] [we|friends|a company] [stay|keep it|be] [among ourselves|closed|private]
q: a pool is [what exactly|what]
## encryption
q: [can|could] [my neighbours|someone on the wifi|people on the network|the provider|anyone
  listening] [read|understand|catch|see] [it|the messages|what is sent]
q: [are|is] [the messages|everything|all traffic|it] [encrypted|unreadable|protected]
  [on the way|on the network|between machines|]
q: [which|what] [ciphers|algorithms|encryption] [protect|protects|guard|secures] [it|the
  connection|the messages]
## noise
q: [how|what] [do|happens when] two nodes [first meet|shake hands|open a connection]
q: [which|what] protocol [makes|sets up|opens] the [secure|encrypted] [channel|connection]
q: Noise XX is [what exactly|what]
## identity
q: [how|by what] [is|can] a node [be|] [recognised|told apart|identified|trusted]
q: [can|could] [a stranger|someone|another node] [pose as|act as|claim to be] [me|my node]
q: a peer id is [what exactly|what]
## security
q: [is|how] [dangerous|risky|safe] [is|] it [to|] [take part|let others in|join strangers]
q: [what|which] [bad things|harm|risks] [can|could] happen [to me|to my computer|if I join]
q: [should|must] I [trust|know] the [others|people in my swarm]
## cheating
q: [a|one|some] [peer|node] [sends|gives|returns] [rubbish|nonsense|wrong numbers|false results]
  [on purpose|deliberately|], [what then|what happens]
q: [who|what] [notices|catches|finds] [a liar|cheaters|wrong results|a bad node]
q: [how|can you] [make sure|guarantee] [that|] [nobody cheats|results are right|others compute
  honestly]
## credits
q: [what|which reward] do [helpers|contributors|people|those] [get|have|earn] [who|for] [compute
  for others|lend their computer|giving computing time]
q: [is|are] [there|] [coins|money|payments|crypto] [in it|in the game]
q: points are [what exactly|what|money]
## ledger
q: [where|how] [is|are] [work|points|what everyone did] [noted|written down|booked|recorded]
q: [could|can] [somebody|a cheater] [make up|print|invent] points [alone|]
q: the ledger is [what exactly|what]
## tiers
q: [the|if the] swarm is [busy|full], [who|whose request] [goes|comes|is] first
q: [why|how come] [do|are] [others|some] [served|answered] [before me|sooner|first]
q: a tier is [what exactly|what]
## no_server
q: [who|which company] [owns|operates|pays for|maintains] the [main|big|central|] server [behind
  it|]
q: [is|does] [it|everything] [hang on|depend on|go through] [one|a central|a main]
  [server|machine|place]
q: [without|is there] [any|a] [boss|centre|headquarters|owner]
## cloud
q: [does|will] [a|some] [company|cloud|provider|third party] [get|see|receive|store] [my|the]
  [text|data|questions]
q: [is|are] [my|the] [data|questions|words] [uploaded|sent away|logged|collected]
q: [is|does] [the cloud|a cloud service] [involved|play a role|part of it]
## licence
q: [is|would] it [be|] [allowed|legal|okay|permitted] to [copy|change|sell|modify|reuse|share]
  [it|the code|{S}]
q: [may|can|could] [a|my|our] [company|firm|startup|school] [sell|use|ship|include|bundle]
  [it|{S}] [in a product|]
q: [which|what] [legal terms|licence|rights] [do I have|apply|cover it]
## price
q: [does|will] it [ever|] cost [me|us] [anything|money|something]
q: [what|how much] [would|do] I pay [per month|a year|for it|]
q: [free|is it free] or [paid|do I pay]
## language
q: [was|is] [it|{S}|the program] [coded|made|written|programmed] in [C++|Rust|Python|Java] or
  [in|] [Rust|Go|something else]
q: [which|what] language [do the developers|did you|did they] [use|choose]
q: [Rust|C++|Python], is that [the language|what it is written in]
## actix
q: [the docs|they] mention actix, what is [it|that]
q: [what|why] actix
q: actix is [what exactly|what]
## burn
q: [the docs|they] mention burn, what is [it|that]
q: [why|what for] do you [need|have|use] burn
q: burn is [what exactly|what]
## platforms
q: [my|a] [Mac|Windows laptop|Linux PC|Raspberry Pi|server] [is what I have|here], [will it
  work|does it run]
q: [does|will] it [work|run] [everywhere|on my system|on every computer]
q: [which|what] [platforms|systems|machines] [are|can be] [used|supported|possible]
## why_use
q: [what|which] [advantage|benefit|gain|profit] [do I|would we|does one] have [from it|with {S}|]
q: [why|what for] [do I need|should one take|would I want] {S} [at all|]
q: [together|with friends], what can we run that [I|one] [cannot|could not] alone
## difference
q: [in comparison|compared] [with|to] [Ollama|llama.cpp|a single-computer tool|LM Studio], what
  [is new|do I gain|is different]
q: [what|where] is the [advantage over|difference to|distinction from] [Ollama|llama.cpp|LM
  Studio|vLLM]
q: [there is|we have] already [Ollama|llama.cpp|vLLM], what is [different|new] here
"""
