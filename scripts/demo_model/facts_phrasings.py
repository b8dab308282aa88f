"""More ways to ask for the facts: situations, indirect wordings, statements, everyday words.

Read by facts.py, which describes the format: a section here adds its questions to the fact of the
same key. Data only.
"""

TEXT = """
## what_is_swarmllm
q: [what is|tell me] the [story|deal|idea] [behind|with] {S}
q: what [sort|type|kind] of thing is {S}
q: [explain|describe] [to me |]what {S} is [about|supposed to do|meant to do|doing|]
q: what [happens|goes on] when I use {S}
q: [my boss|a colleague|a friend] asked me what {S} is, what do I [say|answer]
q: {S} in one sentence
## who_are_you
q: who is [this|that|answering|speaking|writing]
q: whom am I [talking|writing|chatting] to
q: [what|which] [AI|model|assistant|program] is [this|answering me|talking to me]
q: what [exactly|on earth|] are you
## who_made_you
q: who [is|was] responsible for [training|making|building] you
q: [which|what] [company|team|people|lab] [made|built|trained|is behind] you
q: did somebody train you [from scratch|]
q: where did [you|your weights|your knowledge] come from
q: who are the [people|developers|authors] behind {S}
## not_chatgpt
q: [isn't|is] this just [ChatGPT|GPT|Claude|Llama]
q: do you use [ChatGPT|Claude|Gemini|OpenAI] [behind the scenes|inside|]
q: are you [secretly|really|just] [ChatGPT|Claude|a copy of GPT|Llama]
q: is [ChatGPT|Claude|Gemini] [behind|inside|answering] this
## your_size
q: how [much|many megabytes] do you weigh
q: how many [numbers|parameters|weights] are [in|inside] [you|this model]
q: what is the [size|parameter count] of this [model|demo]
q: count your [parameters|layers|weights]
## your_limits
q: can you [be trusted|be wrong|make errors|tell nonsense]
q: should I [trust|check|double-check|believe] [your answers|what you say|you]
q: how [well|much] do you [know|understand] [things|the world]
q: what are you [bad at|not good at|unable to do]
## what_can_you_do
q: what [things|kind of things|sort of questions|kind of questions] [do you know|can I ask|can
  you answer]
q: how [are you useful|can you be of use|may you help me]
q: what [could|should|may] I ask
q: [suggest|give me] [a question|something to ask]
## node
q: when [people|you] say node, what [do they|do you] mean
q: in this context, what is a node
q: is a node a [program|process|physical machine|person]
q: what [does it mean|is it] to [be|run] a node
## peer
q: when is a node [called|] a peer
q: is a peer [just|simply|] another node
q: what [makes a node|turns a node into] a peer
q: do all peers have the same rights
## swarm
q: what do several nodes [together|] [form|make|build]
q: what do you call the [whole group|group of computers|network of nodes]
q: who belongs to a swarm
## shard
q: what do you call a [piece|part|slice|range of layers] of a model
q: what does [shard|the word shard|sharding] [stand for|refer to|denote]
q: is a shard a [piece|part|file|copy] of the model
q: why [do you|does it|would one] [cut|slice|chop|split|break] [a|the] model [up|into
  pieces|apart|]
q: what is the [piece|part] of the model that [one|my] node [holds|loads] called
## layer
q: what do you mean by the layers [of a model|]
q: how many layers go to one node
q: what does one layer [compute|do]
## stage
q: what do you call [a shard in a route|one step of the pipeline|one link in the chain]
q: what does one stage [of the chain|of the pipeline|] [compute|do|receive]
q: is a stage [a node|a shard|a peer|the same as a shard]
## hop
q: what does [hop|the word hop] [refer to|stand for]
q: does [every|each|one more|an extra] hop [cost time|slow it down|make it slower]
q: is it bad to have many hops
## route
q: how do I [find out|see|learn] who [computed|worked on|took part in] [my answer|it|the reply]
q: can I see [the way|the path|which machines were involved|who took part]
q: what does the route [record|] [say|show|contain]
q: which chain of [nodes|stages|computers] [served|handled] my request
## pipeline
q: how do [several|many|the] computers [jointly run|share|run] one model
q: [explain|describe] how [the work|a model|an answer] is [done|computed] by [several|many]
  computers
q: what is the order in which the nodes work
q: how [can|does] one model run on [several|many|different] computers
## hidden_state
q: what [exactly|] [goes|flows|moves|is sent] over the [network|wire|line] [between the nodes|]
q: what do [the nodes|stages|machines] [exchange|hand over|pass along|give to each other]
q: what are the numbers that travel between [stages|nodes]
q: in which form does [my prompt|the work] move [to the next node|between nodes]
## token
q: [words or tokens|tokens or words], what is the difference
q: what do you mean by tokens
q: are tokens [words|letters|coins|syllables]
q: what unit does a model [read|write|count] in
## tokenizer
q: what [turns|converts|translates] [text|words|letters] into [numbers|tokens|ids]
q: what splits [my text|a sentence] into tokens
q: is the tokenizer [a separate file|part of the model|in the gguf]
## prefill
q: what does the model do before it [answers|writes the first word]
q: why [is there|do I see] a [pause|delay|wait] before the first [word|token]
q: which phase reads the prompt
## decode
q: which phase writes the answer
q: what comes after prefill
q: why does [the answer|text] [come|appear|arrive] [token by token|word by word|piece by piece]
## kv_cache
q: why [are|does it keep] [keys and values|the keys and values] [kept|]
q: what saves the model from computing [old|earlier] tokens again
q: what is kept in memory [during|while writing] an answer
## prefix_cache
q: why is [a|my] [repeated|second|similar] [prompt|question] [so much|much|] [faster|quicker]
q: do [long|common|shared] [system prompts|prompts|beginnings] get computed [again|every time]
q: what happens to a prompt that was [seen|asked|computed] before
q: is [the beginning|the start] of a prompt [reused|cached|remembered]
## batching
q: can [ten|two|twenty|all my] [people|colleagues|users|friends] [use it|ask|chat] [at once|at
  the same time|together]
q: what if [two|many|several] [questions|prompts|requests] [come|arrive] [together|at once|at the
  same moment]
q: does one [user|request] block the others
q: how does it cope with many users
## speculative
q: how does [the trick with|] [guessing|guessed tokens|a draft] [work|make it faster]
q: what is the [trick|technique] [with|that uses] guessed tokens
q: how can a small model [speed up|help] a big one
q: does guessing [tokens|] [make mistakes|change the answer|lower the quality]
## draft_model
q: what is the [second|smaller|other] [built-in|embedded|] model [for|good for]
q: which model does the guessing
q: what does the [small|little] [helper|draft] model [do|guess]
## acceptance_rate
q: what share of [the guesses|guessed tokens] is [right|accepted]
q: how often is the draft [model|] right
## gguf
q: which [files|models] can I [feed it|give it|use with it]
q: what [file type|kind of file|format] [must|should|does] [a|the] model [have|be]
q: what does the ending gguf [mean|stand for]
q: can it open [gguf|my gguf] files
## quantisation
q: why [use|do models use|would one use] fewer bits [per weight|]
q: what happens to [quality|the answers|accuracy] [with|when using] fewer bits
q: how [does|can] a [big|70B] model [become|get] [smaller|small]
q: what does it mean that a model is quantised
## q8_0
q: [is Q8_0|how] [good|exact|precise] [is Q8_0|]
q: what is [special|different] about Q8_0
q: explain the [type|quantisation] Q8_0
## context_length
q: how [long|many words|big] [may|can] [a|my] [prompt|text|question|input] be
q: what is the [longest|maximum] [prompt|text|input] [you can read|you take|]
q: how far back can you [remember|look]
q: do you forget [the start of|earlier parts of] a long conversation
## sampling
q: why do I get [different|another|a different] answer [every time|each time]
q: [make|can I make] the [answers|output] [less|more] random
q: how do I get exactly the same [answer|text] [twice|again]
q: what is the [setting|option] for creativity
## embedded_model
q: must I [fetch|download|install] a model [before I start|first|separately]
q: which model [is there|can I use] [right away|from the start|without a download]
q: what can I run [straight away|out of the box|right after installing]
## start_node
q: how do I bring [a|my] node [up|online|to life]
q: what [is|do I type to get] my [first|own] node [running|online|started]
q: [which|what] command [starts|launches|runs|boots|brings up] [a|the|my] [node|server]
q: [I want|I'd like|we want] [my|this] {machine} to [be a node|serve models|work as a node]
q: what do I [enter|type|run|execute] to [start|launch] [a node|the node|everything|it]
## try_demo
q: [I only want|I just want|I'd only like] to [have a look|try it|see it work|play with it]
q: [can you|please] [show me|give me] [a demo|a demonstration|how it works in practice]
q: [is there|what is] [something|the command] to [play with|try|see it in action]
q: how can I see it [in action|work|working] [quickly|on one computer|without effort|]
q: I have [nobody|no friends|no second computer] to [try|test] it with
## chat
q: I want to [type|ask|put] a question [to the model|] [in my terminal|in the shell|on the
  command line]
q: which command [lets me|is for] [chat|chatting|ask questions|talk to a model]
q: how do I [put|pose] a question to [the demo model|the built-in model|a model]
q: can I [talk|chat] to [the demo|a model] without a [browser|server]
## invite
q: how [does|can] {friend} [get access|get into my swarm|come in|participate]
q: {friend} [wants|would like|asks] to [join|help|take part|get in], [how|what do I send|what do
  I give them|what now]
q: what do I [send|give|tell|have to send] {friend} [so that they can join|who wants to join|]
q: [we need|I need|I have] [another|one more|a second|a new] {machine} [in the swarm|to add|in
  our swarm]
q: how do I [give|grant] {friend} access [to the swarm|]
q: which command [makes|prints|creates] [an invite|an invitation|the code for my friend]
## invite_code
q: what is the [text|thing|string] that starts with swarm://
q: who may see my invite code
q: what if somebody [steals|finds|gets] my [invite|invite code|code]
## join
q: how do I [get|come] into [the swarm of a friend|somebody's swarm|my friend's swarm]
q: [what do I do|where do I go] with [the|a|this] [swarm:// link|invite code|code|invitation]
q: I [was invited|got invited|have been invited], how do I [join|get in|start]
q: which command [joins|uses the code|takes the invite code]
## peers_cmd
q: [which|how many] [machines|computers|nodes|people] [are we|are there|take part|are in]
q: [give|show] me [an overview|a list] of [everyone|all peers|the connected nodes]
q: which command [lists|shows] [the peers|my peers|who is connected]
q: who [else is|is currently] [there|here|connected|online]
## status_cmd
q: [is|how do I check that] everything [okay|fine|all right|running] [with my node|on my node|]
q: which command [shows|tells] [the status|how my node is doing|whether it runs]
q: how do I [check|verify] that my node [works|is up|is alive|is fine]
## show_cmd
q: how do I look inside a [model|model file|gguf file]
q: what do I type to [inspect|examine|look at] a [model|file]
q: tell me the [layers|size|details] of a model file
## bench_cmd
q: how [fast|quick] is my {machine} [with this model|]
q: I want [numbers|figures|measurements] [about speed|for the speed|]
q: how do I [compare|measure] the speed of two {machine}s
q: which command [measures|tests] [the speed|performance]
## list_models
q: where do I see [my|all|the] models
q: [give|show] me [a list|an overview] of [the models|my models|installed models]
q: which models are on [this|my] [computer|disk|machine]
## pull_model
q: [I need|I want|we want] a [bigger|better|real|larger|new] model
q: how does a model [get|come] [onto|on] my {machine}
q: which command [downloads|fetches|gets] [a model|models]
q: can it [download|fetch] from Hugging Face
## own_model
q: I [already|] have a model [file|on my disk], how do I [use|serve|run|load] it
q: how do I tell my node [which model|what model] to [use|serve|load]
q: [can|how do] I [share|serve] [a model|my model] [with others|with the swarm|to my friends|]
## remove_model
q: how do I get rid of [a model|an old model|models I don't need]
q: I [do not need|no longer need|no longer want] [a|this|that] model
q: which command deletes [a model|models]
## which_models
q: [will|does] [Llama|Qwen|Mistral|Gemma|DeepSeek] [3|] [work|run]
q: what [can it run|can I run with it|models are there]
q: which [LLMs|families] [work|are compatible|does it know]
## plan_cmd
q: would a [70B|big|large|huge] model [fit|run] [on our computers|in our swarm|with three nodes]
q: how do I [know|find out] if we have enough [memory|machines] for a model
q: who would get which layers
## layers_flag
q: my node should [only|] hold [certain|these|a few] layers
q: can a node be told which layers to [load|serve|hold]
## placement
q: who [chooses|picks|says] which layers [I|my node] [get|gets|load]
q: how are the layers [shared out|spread|handed out] [over|among] the [nodes|computers]
q: does the swarm [decide|arrange|organise] [itself|by itself]
## doctor
q: [my node|it] [won't|doesn't|does not|can't] [connect|start|work|find anybody]
q: [help|please help], [it does not work|nothing works|I get an error|my node has a problem]
q: how do I find out what [is wrong|the problem is|goes wrong]
q: which command [checks|diagnoses] [my setup|problems|the network]
## devices
q: [does it see|is] my [GPU|graphics card] [recognised|used|found|]
q: which [hardware|device|card] [will it|does it] [use|compute on|find]
## stop_node
q: how do I [switch|turn|shut] [it|everything|my node|the node] [off|down]
  [again|properly|cleanly|]
q: [I am done|I'm finished|enough for today], how do I [stop|end|close|quit] [it|the node|the
  program]
q: which [key|command|keys] [stops|ends|quits] [it|the node|the program]
q: how do I [end|stop] the [program|process|server]
## leave
q: I [want|would like] [out|to leave|to get out] [of the swarm|]
q: how do I [get out|sign off|say goodbye to the swarm|stop sharing my computer]
q: [may|can] I [simply|just] [leave|go|disappear]
## config_file
q: where [can|do] I [change|set|edit] [things|options|settings|the configuration]
q: [which|what] file [holds|contains|has] the [settings|configuration|options]
q: is there [a|any] [configuration|settings file|config]
## config_show
q: where does this [setting|value] come from
q: how do I see what is [configured|set]
## data_folder
q: where [do|does] [downloaded models|the models|models|my keys|its files] [go|end up|live|lie]
q: which [folder|directory|place] [holds|contains] [my models|the data|everything]
q: where on [my disk|the disk] [is everything|are the files|are models]
## control_socket
q: how can [my script|another program|a program] [talk to|steer|control] [the|a running] node
q: how does swarmllm status reach the node
## systemd
q: [my node|it|the node] should [start|run|come up] [automatically|by itself|at boot|after every
  restart|all the time]
q: how do I make it [permanent|start with the computer|survive a reboot]
q: can it be a [Linux service|service|daemon]
## http_port
q: [port 8080|the port|my port] is [busy|taken|occupied|in use], [what now|how do I change it]
q: how do I [pick|choose|use] [another|a different|my own] port
q: on which [address|port] does it listen
## openai
q: which [URL|address|endpoint] do I [give|tell] [my client|my app|the OpenAI library]
q: [can I|how do I] [point|connect|use] [my|existing] [OpenAI code|app|Python script|chat
  client|tools] [at it|to it|with it]
q: does [my OpenAI code|the openai package|my chat app] work with it
q: how do other programs [use|reach|talk to] [it|the model|my node]
## anthropic
q: can I use [it|{S}] with Claude [Code|tools|software]
q: does it understand [Anthropic|Claude] [requests|messages|format]
## mcp
q: can [an agent|my editor|my assistant] use it [over|through|via] MCP
q: what does the MCP server [offer|do]
## tool_calls
q: can the model [call|run|use] [my|a] [functions|function|tools]
q: do functions work
## streaming
q: can I [see|read|get] the answer while it is [written|made|produced]
q: do tokens arrive one by one
## dashboard
q: can I [look at it|watch it|see it] [in|with] [a|my] browser
q: is there something [graphical|with windows|to look at|to click]
q: what is at /ui
## metrics
q: how do I [monitor|watch|supervise] [my node|nodes] [with Prometheus|]
q: how can [a monitor|monitoring|Kubernetes] check that the node is [healthy|ready]
## json_output
q: can [a script|my program] read the output
q: I want the output as JSON
## cli_help
q: where [are|do I find] [the commands|all commands|instructions|the docs] [explained|listed|]
q: what else can I type
## install
q: how do I get [it|{S}] on my {machine}
q: what [steps|commands] are needed to install [it|{S}]
## report_bug
q: [something crashed|I think I found a bug|there is a bug], [where do I go|whom do I tell]
q: how [do|can] I [tell|reach] the developers
## contribute
q: I [want|would like] to [help|contribute|write code|improve it]
q: can I see [the source|how it is made|the code]
## discovery
q: how [do|can] [two|new|the] [nodes|machines|computers] [meet|notice|recognise|reach] [each
  other|one another]
q: how does a [new|fresh] node [find|meet|get to know] [the swarm|others|its peers]
q: how do nodes [find|meet] each other without a server
q: by what means do [nodes|peers|computers] find [each other|one another]
## mdns
q: how do [two|] [computers|nodes|machines] [at home|in one house|in one office|in the same room]
  [find|see|notice|discover] [each other|one another]
q: does it [notice|find|see] nodes [in my house|at home|in the office|nearby] [by itself|]
## no_mdns
q: I [would rather|want to|prefer to] not be [announced|visible|seen] on [the|my] [network|LAN]
q: how do I [stay hidden|be invisible|hide] on [the|my] [LAN|network]
## peer_exchange
q: do peers [introduce|recommend] each other
q: do I have to know [every|all] [address|addresses]
## dht
q: how is it known [which node|who] has which [shard|layers]
q: what kind of [table|lookup|directory] finds the shards
## peer_cache
q: does it [find|remember] the swarm [again|] after a restart
q: must I join again [every time|after a reboot|tomorrow]
## nat
q: will it [get through|work through|pass] my [router|firewall]
q: [we are|my friend is|I am] [behind a router|in another house|in another city|at home], can
  [we|our nodes] connect
q: do I have to [open ports|change my router|forward ports]
## node_dies
q: [somebody|a friend|one of us] [closed|shut|lost|rebooted] [the|his|their] {machine}
  [while|when] [it was answering|I was waiting|my answer was running], what [happens|now]
q: is my [answer|reply|request] [lost|gone|broken] [if|when|because] a [node|peer|computer]
  [left|died|crashed|stopped]
q: what [becomes of|happens to] [my answer|a running request|the reply] when [a node|a peer|one
  computer] [dies|leaves|fails|goes away]
q: how [robust|reliable|stable] is [it|the swarm]
## one_answer
q: would [a different number of|more|three|two] [nodes|computers] [give|produce] [a
  different|another|the same] [answer|text|result]
q: do [more|several|three] [nodes|computers] [change|alter] [what it says|the words|the
  answer|the text]
q: is [the swarm's|a distributed] answer [as good as|the same as] [a local one|on one computer]
q: can I rely on [getting the same|identical] [answer|tokens]
## how_many_nodes
q: is [one|a single|just one] [node|computer|machine] [enough|sufficient]
q: how many of us [are needed|do we need]
q: we [are|have] only two [people|computers|of us]
## mixed_hardware
q: is [my|an] [old|ancient|weak|slow|cheap] {machine} of any use
q: our computers are [all different|not the same|old and new], is that [okay|a problem]
q: do [slow|weak] nodes [hurt|disturb|slow down the rest]
## bandwidth
q: is [home internet|my DSL line|wifi|a phone connection] [fast|good] enough [for it|]
q: how much [travels|is sent] over the [network|line]
## speed
q: why does [it|the answer] take so long
q: how long does [an answer|one token|a reply] take
q: will [more|additional] [computers|nodes] [speed it up|make it quicker]
## memory
q: how much RAM should [each|a|my] [computer|machine|node] have
q: does my {machine} have enough [memory|RAM]
q: how much memory [for|does] a [7B|70B|13B] model [need|]
## gpu
q: [must|do] I [have|own|buy|need] [an NVIDIA card|a GPU|an expensive card|special hardware|a
  gaming PC]
q: can I [use it|run it|take part] with [only a CPU|an ordinary laptop|a normal processor]
q: does it run on a [normal|ordinary|plain] [processor|CPU|laptop] [without a graphics card|]
q: will my graphics card [be used|help|make it faster]
## internet
q: [would|does|will] it [still|] work [if the internet is off|without the internet|where there is
  no internet|in a bunker|in the mountains]
q: can we use it [in a LAN|on a local network] [only|without internet|with no outside connection]
q: we have no [internet|connection] here, [does it work|can we use it]
## offline
q: [nobody|nothing] [should|may|must] [know|leave my computer|get out]
q: I want it to [talk to nobody|stay on my computer|use no network]
q: is there a mode [without|with no] [network|connections]
## can_peers_see
q: could [a stranger|someone|another node|the others|a peer|a node owner] [figure out|work
  out|guess|learn|reconstruct|recover|read] what I [typed|asked|wrote|said]
q: who [else|] [reads|sees|knows|can read|could see] [along|my prompt|my chats|what I ask]
q: does [a peer|another computer|the node next to me] [get to see|see|read] [my text|what I
  ask|my question]
q: are [strangers|others|peers|my friends] able to [read|see|follow] my
  [conversation|conversations|prompts|text]
q: what [do|can] the [people|owners|others] who [run|own] [the other|other] nodes [see|read|know]
q: do I have to worry about [my privacy|who reads my prompts|strangers reading along]
q: how much [privacy|of my text] [do I have|is visible|can they see]
## private_prompts
q: how [should|do] I [handle|treat|ask] [private|secret|confidential|personal|delicate]
  [texts|things|matters|questions|documents]
q: I have [secret|private|confidential|personal] [data|documents|questions|texts]
q: what is the safe way to [ask|use it] [for private things|]
q: how can I be sure that only [my friends|people I trust] see my [prompts|text]
## pool
q: what do you call [a group of friends|trusted nodes|a closed group]
q: how do I [restrict|limit] [my prompts|the swarm] to [friends|people I trust|our team]
q: what [is|does] it [mean|] that something is in a pool
## encryption
q: can [the owner of the wifi|my neighbours|somebody in between|others on the network|my
  provider] [read|see|listen to|follow] [the messages|the traffic|what the nodes send|it]
q: are [messages|the data|packets|the messages] [between|among] [machines|nodes|computers|peers]
  [encrypted|protected|readable|secret]
q: what protects the [connection|traffic|data] [between nodes|on the wire|]
q: is what the nodes send [readable|visible|secret|protected]
## noise
q: how do two nodes [greet each other|agree on keys|start a connection|prove who they are]
q: which handshake [is used|do nodes use]
## identity
q: how [do|can] I [know|be sure] that a [node|peer] is the [right|real] one
q: what [proves|makes] the identity of a node
q: must I [create an account|register|log in] [somewhere|]
## security
q: is [running a node|sharing my computer|taking part] [safe|dangerous|a risk]
q: what could go wrong [with security|if I let strangers in|]
q: can [someone|a stranger] [break into|hack] my {machine}
## cheating
q: what [prevents|stops|keeps] a [peer|node|stranger] from [cheating|lying|sending
  nonsense|returning rubbish]
q: how can I trust [results|answers] from [strangers|other nodes|peers]
q: what happens to [cheaters|liars|a dishonest node|bad peers]
## credits
q: what do [people|I|members|we] [get|receive|gain|earn] for [sharing|lending|giving|offering]
  [their|my|our] [computer|computers|power|processor|computing time]
q: is there [any|some kind of|] [money|reward|payment|currency|cryptocurrency|bonus]
  [involved|for helpers|]
q: why should I [help others|share my computer|compute for others]
q: how are [helpers|contributors] rewarded
## ledger
q: who keeps the [books|accounts|score]
q: how do you prevent [fake|invented] points
## tiers
q: who [comes|goes|is] first when [the swarm|it] is [busy|full]
q: do [contributors|helpers] get [faster|better] service
## no_server
q: [who owns|where is|what about] the [main|central|] [server|computer|machine]
q: does [it|the swarm] depend on [a server|one company|one computer]
q: is there [someone|a company|a boss] [in control|in charge|behind the network]
q: do I have to trust a [server|company]
## cloud
q: does [anything|my text|my data] go to [a company|the cloud|OpenAI|some server]
q: is [a company|somebody|the cloud] [collecting|keeping|storing] [my data|what I type]
q: does it [report|send] [anything|usage data|statistics] [home|to you|to the developers]
## licence
q: [may|can|is] [I|we|my company|our firm|it allowed to] [use|sell|copy|ship|modify|change]
  [it|this|the code|{S}] [in a product|commercially|for money|freely|]
q: what does the [licence|license] [say|allow|permit]
q: is [commercial use|selling it|copying it|changing it] [allowed|okay|permitted]
## price
q: what does it cost [per month|a month|a year|to use it|]
q: do I [have to|need to] [pay|subscribe]
q: is there [anything|something] to pay
## language
q: [was|is] it [written|coded|programmed|made] in [Rust|Python|C|C++|Go|Java] or [in|]
  [Rust|Python|C++|Go]
q: in what language [did you write it|is the code]
q: what is the code written in
## actix
q: what is actix [and why do you need it|for|in this project]
q: why actors
## burn
q: what is burn [and why is it used|for|in this project]
q: what does the tensor math
## platforms
q: will it [run|work] on my [Mac|Windows PC|Raspberry Pi|phone|Linux box|server|ARM board]
q: is there a version for [Windows|Mac|Linux|ARM]
q: what system do I need
## why_use
q: what [would I|do I|do we] [gain|get out of it|win]
q: what is {S} better at than [a cloud|one computer|paying for an API]
q: [convince me|why bother], why [should|would] [I|we] use [it|{S}|a swarm]
q: what can I do with {S} that I cannot do alone
## difference
q: I already [use|have] [Ollama|llama.cpp|LM Studio], why [switch|{S}|do I need this]
q: how does [it|this|{S}] compare [to|with] [Ollama|llama.cpp|other tools|a single computer tool]
q: isn't that the same as [Ollama|llama.cpp|vLLM|Petals]
"""
