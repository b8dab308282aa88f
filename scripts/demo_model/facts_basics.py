"""Facts about what SwarmLLM is, who the demo model is, and the field's words.

Read by facts.py, which describes the format. Data only: an answer and the ways to ask for it.
"""

TEXT = """
## what_is_swarmllm
SwarmLLM is a peer-to-peer program that runs a large language model on several computers together:
each node holds some layers of the model, and the answer travels from node to node.
t: {S}
t: {S} [actually|exactly|all about|]
t: this [thing|project|program|software|tool|app]
q: what [is|was] {S} [for|good for|used for|about|made for]
q: what does {S} do
q: what [is the point|is the purpose|is the idea|is the goal] of {S}
q: [introduce|describe|summarise|summarize|present] {S} [in a few words|in one sentence|briefly|]
q: [give|write] me [an overview|a summary|a short description|the elevator pitch] of {S}
q: I [just|only just] [found|downloaded|heard of|discovered] {S}, what is it
q: how would you [describe|explain] {S} to [my mother|a beginner|a child|a newcomer]
q: what am I [looking at|running|using] here
q: what kind of [software|program|project|tool] is {S}
q: how does {S} work
q: how does this work

## who_are_you
I am the SwarmLLM demo model, a tiny language model built into the program. I answer simple
  questions
about SwarmLLM.
t: your name
q: who are you
q: what are you
q: what is your name
q: what should I call you
q: introduce yourself
q: tell me about yourself
q: who am I [talking|speaking|chatting] [to|with]
q: are you [a robot|a bot|a human|a person|real|an AI|a machine|a program|alive]
q: which model are you
q: what [kind of|sort of|] [model|AI|assistant|bot|language model] are you
q: do you have a name
q: is there a [person|human] [behind this|on the other side|there]
q: say something about yourself
q: identify yourself

## who_made_you
I was trained from scratch by the authors of SwarmLLM on a small corpus that they generated
themselves. No weights of another model were used.
q: who [made|built|created|trained|wrote|programmed|developed|invented] you
q: where do you come from
q: who [is|are] your [creator|creators|maker|author|authors|developer|developers|parents]
q: how were you [made|trained|created|built]
q: what [data|text|texts|corpus] were you trained on
q: what is your training data
q: who [made|built|created|wrote|develops|is behind] {S}
q: were you [copied|distilled|fine-tuned] from [another|a bigger|some other] model
q: on what were you trained
q: who [came up with|stands behind] you
q: what did you learn from

## not_chatgpt
No, I am not ChatGPT or any other big assistant. I am the small SwarmLLM demo model, trained from
scratch by the authors of SwarmLLM.
q: are you [ChatGPT|GPT|GPT-4|Claude|Gemini|Llama|Qwen|Mistral|DeepSeek|Siri|Alexa]
q: are you [made|built|trained] by [OpenAI|Anthropic|Google|Meta|Microsoft]
q: is this [ChatGPT|GPT|Claude|Gemini|Llama|Qwen|Mistral|DeepSeek]
q: are you [based on|the same as|related to|like] [ChatGPT|GPT-4|Claude|Llama|Gemini|Qwen]
q: do you come from [OpenAI|Google|Meta|Anthropic]
q: did [OpenAI|Google|Meta|Anthropic] [make|train|build] you
q: am I talking to [ChatGPT|Claude|Gemini|GPT]

## your_size
I have about 5.8 million parameters in six layers and fit in roughly six megabytes. That is tiny:
useful models have billions of parameters.
t: your size
q: how [big|large|small|heavy] are you
q: how many [parameters|weights|layers] do you have
q: how many [parameters|weights|layers] does [the demo|the demo model|this model] have
q: what is your [parameter count|number of parameters|size in megabytes|file size]
q: what size [are you|is this model|is the demo model|do you have]
q: how much [disk|space|storage] do you [take|need|use]
q: are you a [big|large|small|tiny] model
q: how many megabytes are you
q: how big is the [demo|demo model|built-in model|embedded model]
q: are you [large|small|big]

## your_limits
I am very small, so I only know about SwarmLLM, little sums and simple stories, and I can be
  wrong.
For real work, load a bigger model.
t: your [limits|limitations|weaknesses]
q: what [can you not|can't you|are you not able to] do
q: what are your [limits|limitations|weaknesses|shortcomings]
q: can I [trust|rely on|believe] [you|your answers|what you say]
q: are you [smart|clever|intelligent|reliable|accurate|always right|any good]
q: do you [make mistakes|make errors|hallucinate|know everything|get things wrong]
q: why are you so [bad|stupid|limited|dumb|weak]
q: are your answers [correct|right|true|reliable|trustworthy]
q: can you [write code|translate|write an essay|do my homework|program|write a poem]
q: how [good|smart|clever|reliable] are you
q: you [are|seem] [not very smart|wrong|dumb|limited]
q: can you be wrong
q: is your knowledge [limited|complete|up to date]

## what_can_you_do
I can answer questions about SwarmLLM, add and multiply small numbers, and tell short stories. Try
asking how to start a node.
q: what can you do
q: [help|help me|I need help|please help]
q: how can you help [me|]
q: what can I ask [you|]
q: what [are you able to|can you] [answer|talk about|help with|tell me]
q: what are you good at
q: what do you know [about|]
q: what are your [skills|abilities|capabilities|talents]
q: what questions can [I ask|you answer]
q: what topics do you know
q: give me some [example questions|examples of what I can ask]
q: what are you for
q: what should I ask you
q: I don't know what to ask

## node
A node is one running SwarmLLM process, usually one per computer. It holds some layers of a model
  and
works together with other nodes.
t: a node
t: nodes
t: the word node
t: a swarm node
q: what does a node do
q: what is [the role|the job|the task] of a node
q: what [do you|does {S}] [call|mean by] a node
q: is [a node|every node] a [computer|machine|process|server]
q: what [makes|counts as] a node
q: is my {machine} a node
q: what is a [single|running] [process|instance] of {S} called

## peer
A peer is another node that your node is connected to. Peers have equal rights: none of them is a
central server.
t: a peer
t: peers
t: the word peer
q: what is the difference between a node and a peer
q: [node versus peer|node vs peer|peer vs node]
q: what [does peer mean|counts as a peer]
q: who are my peers
q: what do you call [another node|the other nodes|the other computers]
q: is a peer the same as a node

## swarm
A swarm is a group of nodes that know each other and share the work of running models. Anyone
  with an
invite code can join it.
t: a swarm
t: the swarm
t: swarms
q: what makes a swarm
q: why is it called [a swarm|swarm|SwarmLLM]
q: what does the [swarm|word swarm] [mean|stand for]
q: what is a group of nodes called
q: what forms a swarm

## shard
A shard is a run of neighbouring layers of one model. Nodes load shards instead of whole models,
  so a
big model fits on several small computers.
t: a shard
t: shards
t: the word shard
t: a model shard
t: sharding
q: what are the [pieces|parts|slices|chunks] of a model called
q: how is a model [split|cut|divided|sliced|broken] [up|into pieces|into parts|]
q: why [are models|is the model] [split|cut|divided] [into shards|into pieces|up]
q: what is inside a shard
q: what does a shard [contain|hold|consist of]
q: how [do|does] [the layers|a model|the model] get [split|distributed|divided]
q: which part of the model does [a|my] node hold

## layer
A layer is one step of the model: attention followed by a feed-forward network. SwarmLLM cuts a
  model
between layers and gives each node a range of them.
t: a layer
t: layers
t: model layers
q: what are the layers of a model
q: what [does|is in] a [layer|transformer layer]
q: what is a transformer [layer|block]
q: where is [a|the] model cut

## stage
A stage is a shard on one peer as used in a route: it takes hidden states in, runs its layers, and
sends the result to the next stage.
t: a stage
t: stages
t: the word stage
t: a pipeline stage
q: what does a stage do
q: what is the difference between a stage and a shard
q: stage versus shard
q: what happens in [a|each|one] stage
q: how [is|does] a stage [differ|different] from a shard

## hop
A hop is one step over the network: a stage sends its hidden states to the next stage. Fewer hops
  mean
less waiting per token.
t: a hop
t: hops
t: the word hop
t: a network hop
q: what [counts as|happens in|happens during] a hop
q: how [long does a hop take|expensive is a hop]
q: why do hops matter
q: what is one step [between|from one] [nodes|stages] called

## route
A route is the chain of stages that serves one request, from the first layer to the last. Every
answer records the route that it took.
t: a route
t: routes
t: the route
t: the route record
q: how is [the|a] route [chosen|picked|found|selected]
q: which [nodes|peers|computers] answered [my question|my request|me|]
q: how can I [see|know|tell|find out] which [nodes|peers|computers] [computed|made|produced] the
  {answer}
q: which way does [my|a] request [take|go]
q: what path does [my|a] [request|question|prompt] take
q: who computed this

## pipeline
A pipeline is a model running as a chain of stages: each node computes its layers and passes the
hidden states on to the next one.
t: a pipeline
t: pipelines
t: the pipeline
t: pipeline parallelism
q: how does the pipeline work
q: how do [the nodes|several nodes|many computers|the computers] [work together|cooperate|share
  the work]
q: how is the work [shared|split|divided] [between|among] [nodes|computers|the peers]
q: how do nodes [compute|produce] [an answer|a reply] together
q: how does a [prompt|question] [travel|flow|move] [through|across] the [swarm|nodes]

## hidden_state
Hidden states are the lists of numbers that one layer passes to the next. Between two stages they
travel over the network instead of the text.
t: a hidden state
t: hidden states
t: the hidden state
t: the residual stream
q: what [is|gets] [sent|passed|transferred|transmitted] between [nodes|stages|peers|computers]
q: what [data|information] [travels|goes] [between|from] [nodes|stages|the nodes]
q: what do [nodes|stages] send [to each other|each other|to the next]
q: does the text travel between nodes
q: what is a tensor

## token
A token is a small piece of text, often a word or part of a word. A model reads and writes one
  token
after another.
t: a token
t: tokens
t: the word token
q: what are tokens [for|in a language model]
q: how [long|big] is a token
q: is a token a word
q: what is the difference between a token and a word
q: does the model [read|write|see] [letters|words|characters]

## tokenizer
The tokenizer cuts text into tokens and turns each token into a number; it also turns numbers
  back into
text. It is stored inside the GGUF file.
t: a tokenizer
t: the tokenizer
t: tokenization
t: BPE
q: what does the tokenizer do
q: how does [text|a text] become [numbers|tokens]
q: how [is|are] [text|words|my prompt] [turned|converted|changed] [into|to] [tokens|numbers]
q: how do I [count|see] [the tokens|tokens] of a text
q: where is the tokenizer [stored|kept|saved]
q: who turns [words|text] into numbers

## prefill
Prefill is the first phase of an answer: the model reads all tokens of the prompt at once. After
  it,
decoding writes one token at a time.
t: prefill
t: the prefill phase
t: prefilling
q: what happens during prefill
q: what happens [first|before the first token|before the answer starts]
q: what is the difference between prefill and decode
q: how is the prompt [read|processed]
q: why does the first token take [longer|so long|longest]

## decode
Decoding is the second phase of an answer: the model writes one token at a time, and each new
  token
goes through all stages again.
t: decode
t: decoding
t: the decode phase
q: what happens during decode
q: how [are|is] the [tokens|words|answer] [generated|written|produced]
q: how does the model write [its|an] answer
q: how is text generated
q: why do words appear one [by one|after another]

## kv_cache
The KV cache keeps the attention keys and values of all earlier tokens, so that the model does not
compute them again for every new token.
t: the KV cache
t: a KV cache
t: key value cache
t: KV
q: what is the KV cache [for|good for]
q: why [do we|does it|does a model] need a KV cache
q: what does the KV cache [store|hold|contain|do]
q: where are [keys and values|attention keys] [kept|stored]
q: how does the model remember [earlier|previous|old] tokens

## prefix_cache
The prefix cache keeps the KV pages of prompts seen before. When a new prompt starts with the same
text, that part is not computed again.
t: the prefix cache
t: prefix caching
t: a prefix hit
t: prefix reuse
q: what is the prefix cache [for|good for]
q: what happens when two prompts [start|begin] [the same|with the same text|alike]
q: why is the second [question|request|prompt] faster
q: does {S} [reuse|remember|cache] [earlier|previous|old] prompts
q: is a repeated prompt [cached|faster]
q: what if I send the same prompt [again|twice]

## batching
Batching means computing several requests together, so the weights are read once for all of them.
  It
raises the total speed when many people ask at once.
t: batching
t: a batch
t: continuous batching
t: batches
q: what is batching [for|good for]
q: can {S} [serve|answer|handle] [several|many|multiple] [users|people|requests] [at once|at the
  same time|together]
q: what happens [when|if] [many|several|two|lots of] [people|users|requests|clients]
  [ask|come|arrive] at [once|the same time]
q: how many [requests|users] can [a node|it|{S}] [serve|handle] at once
q: does {S} handle [parallel|concurrent|simultaneous] requests
q: is it [multi-user|for several users]

## speculative
Speculative decoding lets a small draft model guess several tokens ahead; the big model checks
  them in
one pass. The answer stays the same, it only comes faster.
t: speculative decoding
t: speculation
t: speculative
q: what is speculative decoding [for|good for]
q: how does speculative decoding work
q: does speculative decoding change the [answer|result|output|text]
q: how can [guessing|guessing tokens] [speed up|make faster] [decoding|the answer]
q: how does {S} [guess|predict] [ahead|several tokens]
q: why guess tokens [ahead|in advance]

## draft_model
A draft model is a small, fast model that guesses the next tokens for a bigger one during
  speculative
decoding. SwarmLLM ships one called demo-draft.
t: a draft model
t: the draft model
t: demo-draft
t: the draft
q: what does the draft model do
q: what is demo-draft [for|good for|]
q: why [are there|does it ship] two [embedded|built-in|demo] models
q: which [model|small model] [guesses|drafts] [tokens|ahead|]
q: what is the small sibling [of demo|]

## acceptance_rate
The acceptance rate is the share of guessed draft tokens that the big model agrees with. The
  higher it
is, the more speculative decoding helps.
t: the acceptance rate
t: acceptance rate
t: accepted tokens
q: how [many|often are|good are] draft tokens [accepted|]
q: how good are the guesses of the draft model
q: what if the draft [model|] [is wrong|guesses wrong]

## gguf
GGUF is a file format for language models: one file holds the weights, the tokenizer and the
  settings.
SwarmLLM reads GGUF files directly.
t: GGUF
t: a GGUF file
t: the GGUF format
t: .gguf
q: which [file format|format|model format] does {S} [use|read|support|need|load]
q: what [files|model files|kind of files] can [I load|{S} read|it open]
q: what is inside a gguf file
q: in [what|which] format are [the models|models] [stored|saved]
q: does it [support|read|load] [gguf|safetensors] [files|]

## quantisation
Quantisation stores the weights of a model with fewer bits, for example eight or four instead of
sixteen. The model gets smaller and faster and loses a little accuracy.
t: quantisation
t: quantization
t: a quantised model
t: quants
q: what is [quantisation|quantization] [for|good for]
q: how [can|do] [I|you] make a model smaller
q: why are [models|weights] [quantised|quantized]
q: does [quantisation|quantization] [hurt|lower|change] [quality|accuracy|the answers]
q: what does [4-bit|8-bit|Q4|4 bit] mean
q: what do [fewer bits|four bits|eight bits] mean [for a model|]
q: how are weights compressed

## q8_0
Q8_0 is a quantisation with eight bits per weight: blocks of 32 weights share one scale. It is
  almost
as exact as sixteen bits at half the size.
t: Q8_0
t: Q8
t: the Q8_0 format
q: how does Q8_0 work
q: what does Q8_0 [mean|stand for]
q: how many bits does Q8_0 use
q: which quantisation do you use
q: how are your weights [stored|quantised|saved]

## context_length
The context length is the largest number of tokens that a model can look at, prompt and answer
together. Mine is 512 tokens.
t: the context length
t: context
t: the context window
t: context size
q: what is your [context length|context window|context size|context]
q: how [long|large] can [my|a|the] [prompt|question|conversation|text] be
q: how much text can you [read|remember|handle|take]
q: how many tokens can you [read|handle|see|take]
q: what happens when the [prompt|conversation] is too long
q: is there a limit [to|on] the [prompt length|length of my question|prompt]

## sampling
Sampling picks the next token from the probabilities of the model. Temperature 0 or --greedy
  always
takes the most likely one; a higher temperature gives more variety.
t: sampling
t: temperature
t: greedy decoding
t: the temperature
t: a seed
q: what does the temperature [do|change|mean]
q: how do I [set|change|lower|raise] the temperature
q: how [do|can] I [make|get] [the answers|answers] [more creative|less random|always the
  same|more varied]
q: what [is|does] [the seed|a seed] [for|do]
q: how do I get a [deterministic|reproducible|repeatable] answer
q: what does --greedy do
q: how is the next token [chosen|picked|selected]

## embedded_model
The embedded model called demo is built into the program, so you can try SwarmLLM without
  downloading
anything. It is tiny and meant for trying and testing.
t: the embedded model
t: the demo model
t: the built-in model
t: the model demo
q: is there a [model|language model] [included|built in|in the box|inside|shipped with it]
q: do I [need|have] to download a model [first|to try it|]
q: does {S} [come|ship] with a model
q: can I [use|try] it without [downloading|a download|a model]
q: why is there a model [in|inside] the [program|binary]
q: what is the demo model [for|good for]
"""
