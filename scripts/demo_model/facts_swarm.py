"""Facts about how the swarm behaves: discovery, failure, privacy, fairness, speed and licence.

Read by facts.py, which describes the format. Data only: an answer and the ways to ask for it.
"""

TEXT = """
## discovery
Nodes find each other by mDNS on the local network, remembered peers, invite codes, peer exchange
  and a
Kademlia DHT. No central server is needed.
t: discovery
t: peer discovery
q: how do [nodes|peers|the nodes|computers|the computers|machines] [find|discover|locate|see|get
  to know|learn about] [each other|one another]
q: how does [my|a|the] node [find|discover|locate] [other nodes|others|peers|the swarm|its peers]
q: how do the computers know [about each other|where the others are|each other]
q: how does [it|{S}] find [other nodes|the other computers|peers]
q: how does discovery work
q: is there a [list|registry|directory] of nodes
q: how do two {machine}s [find each other|get in touch|meet]
q: what if my node [doesn't|does not|can't] find [any peers|the others|anyone]

## mdns
mDNS is a way to announce a service on the local network. SwarmLLM uses it so that nodes in the
  same house
or office find each other by themselves.
t: mDNS
t: multicast DNS
t: the LAN beacon
q: what is mDNS [for|used for]
q: why does it use mDNS
q: how do nodes [on|in] the same [network|LAN|wifi|house|office] find each other
q: does it find [nodes|computers] on [my|the] [local network|LAN|wifi] [automatically|by itself|]

## no_mdns
Start the node with `swarmllm serve --no-mdns`: then it does not announce itself on the local
  network.
d: [turn off|switch off|disable|deactivate|stop] [mDNS|the local announcement|local
  discovery|multicast]
d: [hide|keep] my node [from|hidden on|off] the local network
q: what does --no-mdns do
q: can I [turn off|disable|switch off] mDNS
q: I don't want my node to announce itself [on the network|on the LAN|]

## peer_exchange
Peer exchange means that connected nodes tell each other about peers they know, so one known
  address is
enough to meet the whole swarm.
t: peer exchange
t: PEX
q: how does peer exchange work
q: do nodes tell each other about [peers|other nodes]
q: is one address enough [to join|to find everyone|]
q: how does a new node [meet|get to know] the [others|rest]

## dht
The DHT is a Kademlia table spread over all nodes: it tells who has which shards, without a
  central
server.
t: the DHT
t: Kademlia
t: the Kademlia DHT
t: a distributed hash table
q: what is the DHT [for|used for]
q: how do nodes [find|know|look up] who [has|holds] [a shard|which layers|which shards]
q: does it use [Kademlia|a DHT|a distributed hash table]
q: where is it stored who has which shard

## peer_cache
The node remembers peers it has met in its data folder and tries them again at the next start, so
  it comes
back without a new invite.
t: remembered peers
t: the peer cache
q: does [my|a|the] node remember [its peers|other nodes|the others]
q: do I need a new [invite|code] [after a restart|every time|each time]
q: what happens after a [restart|reboot]
q: will my node reconnect [by itself|automatically|after a restart]

## nat
Nodes behind a home router use hole punching, and if that fails a relay peer forwards their
  encrypted
traffic. Usually no port has to be opened.
t: NAT
t: hole punching
t: a relay
t: NAT traversal
q: does it work behind [a router|NAT|a firewall|my home router]
q: my node is behind [a router|a firewall|NAT], does [it|that] work
q: do I [need|have] to [forward a port|configure my router|set up port forwarding]
q: what does a relay do
q: how do nodes connect through a [router|firewall]
q: can a relay read my [data|traffic]

## node_dies
The swarm notices it, picks another node that holds the same layers, replays what is missing, and
continues with exactly the same tokens.
q: what happens [if|when] a [node|peer|computer|machine|stage] [dies|fails|crashes|goes
  away|disappears|goes offline|is switched off|drops out|leaves|loses power]
q: what happens [if|when] [one of the|someone's] [nodes|computers|machines]
  [fails|dies|crashes|goes down] [in the middle of an answer|during a request|halfway|]
q: what if [somebody|someone|a friend|a peer] [turns off|switches off|unplugs|closes] [their|his]
  {machine}
q: is [it|{S}|the swarm] fault [tolerant|tolerance]
q: does [my|the] answer [get lost|break|stop] [if|when] a [node|peer|computer]
  [dies|fails|leaves|crashes]
q: how does [failover|recovery] work
q: what about [failures|crashes|failing nodes|unreliable nodes]
q: can it [survive|recover from] [a crash|a failure|losing a node|a dead node]
q: what happens if the connection [breaks|is lost]
t: failover

## one_answer
You get the same tokens however the swarm computed them: with one node or many, after a failure,
  or from a
cache. SwarmLLM tests this all the time.
t: the one answer promise
t: one answer
q: is the answer the same [on|with] [one node|several nodes|many nodes|one computer]
q: does the [number|count] of nodes change the [answer|result|text|output]
q: [will|do] I get [the same|a different|identical|another] [answer|result|tokens] [with more
  nodes|every time|on another machine|in the swarm]
q: are [the answers|results|the tokens] [identical|deterministic|reproducible|always the same]
q: does splitting [change|affect] the [answer|result|output|quality]
q: does splitting [the|a] model make it [worse|less accurate]
q: what does identical mean [in the demo|]
q: why are the tokens identical

## how_many_nodes
One node is enough, and two already share the work. Add nodes until their memory together holds
  the model
you want.
q: how many [nodes|computers|machines|PCs|peers] do I need
q: [is one node|is one computer|is a single computer|are two computers] enough
q: can I [run|use] {S} with [only one|one|two|just one] {machine}
q: what is the [minimum|maximum|smallest|largest] number of [nodes|computers]
q: how many nodes can [a swarm|it] have
q: does it [need|require] [many|several] computers
q: how [big|large] can a swarm [be|get|become]

## mixed_hardware
Yes, the computers can be different: old and new, with or without a graphics card. Faster ones
  with more
memory simply get more layers.
q: can I mix [different|old and new|slow and fast] [computers|machines|hardware|nodes]
q: must all [computers|nodes|machines] be [the same|equal|identical|equally fast]
q: does [every|each] {machine} need the same [hardware|GPU|memory]
q: can [old|slow|weak|small] [computers|laptops|machines] [help|join|take part]
q: is my [old laptop|old computer|slow PC|Raspberry Pi] [good enough|useful|fast enough]
q: does [one|a] slow [node|computer] [slow down|hold up] [the others|everything]
q: does every node need the [same|whole|full] model

## bandwidth
Very little: per token only one hidden state of a few kilobytes goes over each hop. The prompt
  needs more
because all its tokens travel at once.
t: bandwidth
t: network traffic
q: how much [bandwidth|data|traffic|network] does [it|{S}|a node|one token] [use|need|cause|send]
q: do I need a fast [network|connection|internet connection|line]
q: is [wifi|a slow connection|my internet connection|DSL] [enough|fast enough|good enough]
q: how [fast|good] must my [network|internet|connection] be
q: how many bytes travel per token

## speed
It depends on memory speed, model size and network delay: each token waits for every hop. A model
  that
fits on one node is faster there.
t: speed
t: performance
t: latency
q: how fast is [it|{S}|the swarm|this]
q: is [it|{S}|the swarm] [fast|slow|quick]
q: why is it [slow|so slow|slower than expected]
q: what [limits|determines|decides] the speed
q: does adding [nodes|computers|more nodes] make it faster
q: is a swarm faster than one computer
q: how [do|can] I [make it|get it] faster
q: how many tokens per second can [it|{S}] do
q: does the [delay|latency|distance] between nodes matter

## memory
Each node needs memory for its own layers and their KV cache only. The demo model takes a few
  megabytes; a
70B model in four bits needs about 40 GB in all.
t: memory
t: the memory needed
q: how much [memory|RAM] [do I need|does it need|does a node need|is needed|does it use|does {S}
  take]
q: how much [RAM|memory] does a [model|7B model|70B model|big model] need
q: do I need [a lot of|much|16 GB of] [memory|RAM]
q: is [8 GB|4 GB|16 GB] [of RAM|of memory|] enough
q: what are the [memory|hardware|system] requirements
q: how can a model that is too big for my {machine} run

## gpu
No GPU is needed: SwarmLLM runs on ordinary processors. If you have a graphics card, it can use
  CUDA or
WebGPU.
t: GPU support
q: do I need a [GPU|graphics card|video card|powerful GPU]
q: does [it|{S}] [need|require|use|support] a [GPU|graphics card|video card]
q: does it [run|work] [without a GPU|on a CPU|on CPU only|without a graphics card]
q: can it use [my GPU|my graphics card|CUDA|an NVIDIA card|an AMD card]
q: is a [GPU|graphics card] [necessary|required|needed|mandatory]
q: I have no [GPU|graphics card], [does it work|can I use it|is that a problem]
q: [CUDA|GPU|graphics card|NVIDIA]

## internet
No, the internet is not needed: nodes on one local network work together without it. You only
  need it for
distant friends or to download models.
q: do I need [internet|the internet|an internet connection|to be online]
q: does [it|{S}] [need|require] [internet|the internet|internet access|a connection]
q: does it work [without internet|in a local network only|on a plane|with no internet]
q: is [internet|an internet connection|online access] [needed|required|necessary]
q: can it run [without internet|only in my house|only at home|only in our office]
q: what if [I have no internet|the internet is down|my internet fails]

## offline
Start the node with `swarmllm serve --offline`: then it talks to nobody and uses only what is on
  your own
computer.
t: offline mode
t: --offline
d: [run|use|start|work] {S} [offline|in offline mode|without any network]
d: [cut|block|forbid|stop] all network [traffic|access|connections]
q: is there an offline mode
q: what does --offline do
q: can I use it [offline|completely offline]
d: [make sure|be sure|guarantee] that nothing leaves my {machine}
d: keep everything on my own {machine}

## can_peers_see
A peer that runs a stage sees hidden states, and these can be turned back into your text. So use
  a pool of
friends for private prompts.
q: can [other people|others|strangers|peers|a peer|my peers|other nodes|the other
  nodes|someone|somebody|my friends] [see|read|spy on|look at|know|learn] [my|the]
  [prompts|prompt|text|questions|messages|conversation|chat|data|words]
q: what can [a stranger|a peer|strangers|a stage|another node|other nodes|a stranger's node|the
  others|the other computers] [see|read|learn|know|find out] [about me|of my prompt|]
q: what does [a peer|a stage|another node|a stranger|my neighbour] [see|learn|get to know]
q: who can [see|read] [my prompts|my text|my questions|what I write|what I type|my messages|my
  data]
q: is my [prompt|text|data|chat|question] [private|secret|hidden|safe|visible to others]
q: can hidden states be [turned back into text|inverted|decoded|read]
q: do hidden states [hide|protect|reveal] [my text|the prompt|anything]
q: how private is [it|{S}|this|the swarm]
q: will [anyone|anybody|somebody|strangers] [see|read] what I [write|ask|type]
q: is it [confidential|private|anonymous]
q: are my [prompts|questions|chats] visible to [others|other people|peers]
t: privacy
t: the privacy risk

## private_prompts
Use a pool of friends you trust: then private prompts only go to its members. Or run the model
  alone on
your own node.
d: keep my [prompts|prompt|data|questions|text|chats] [private|secret|safe|confidential]
d: [protect|hide|secure] my [prompts|data|questions|privacy|text]
d: [ask|send|use] [private|secret|confidential|sensitive] [questions|prompts|texts]
d: [prevent|stop] [strangers|others|other people] from [reading|seeing] my [prompts|text]
q: what should I do with [private|secret|confidential|sensitive|medical]
  [questions|prompts|data|texts]
q: can I use it for [private|secret|confidential|sensitive|work]
  [data|questions|prompts|documents]
q: how do I use {S} [privately|safely|securely]
q: my [text|prompt|data] is [secret|confidential|sensitive], what should I do

## pool
A pool is a closed group of nodes that trust each other. Prompts marked for the pool never leave
  it.
t: a pool
t: pools
t: a private pool
t: a pool of friends
q: what is a pool [for|good for]
q: what is the difference between a pool and a swarm
q: how does a pool [work|protect me]
q: pool versus swarm
q: who [is|belongs] in a pool
d: [create|make|set up|have] a [pool|private group|closed group|private swarm|pool of friends]
q: can I make a swarm [only for us|for my family|for my company|for our office|with only my
  friends]

## encryption
Yes, all traffic between nodes is encrypted with Noise XX, using X25519 and ChaCha20-Poly1305. It
  protects
against listeners, not against the peers that compute.
t: the encryption
t: encryption
t: ChaCha20-Poly1305
t: X25519
q: is [it|the traffic|the connection|everything|the data|communication|my data]
  [encrypted|secured|protected] [between nodes|in transit|]
q: are [connections|messages|the connections|the tensors] [between nodes|] encrypted
q: which [encryption|cipher|crypto|cryptography] [is used|do you use|does it use|does {S} use]
q: what [encryption|cryptography|cipher] does {S} use
q: how is the [traffic|connection|data|communication] [encrypted|protected|secured]
q: can [my internet provider|my ISP|a hacker|an attacker|somebody on the network|the wifi
  owner|an eavesdropper] [listen|read it|see my prompts|read the traffic|eavesdrop]
q: is it end-to-end encrypted
q: do you use [TLS|SSL|encryption]
q: how do nodes talk [securely|safely]

## noise
Noise XX is a handshake in three messages: both nodes prove their identity keys and agree on
  fresh secret
keys for the connection.
t: Noise XX
t: the Noise handshake
t: the Noise protocol
t: the handshake
q: what is Noise [for|]
q: how does the handshake work
q: what happens when two nodes connect
q: why Noise [and not TLS|instead of TLS|]

## identity
Each node has an Ed25519 key made at its first start; the public key is its peer id. Nobody can
  pretend to
be your node without the secret key.
t: the identity key
t: a peer id
t: the node identity
t: Ed25519
q: how [is|are] [a node|nodes|peers] identified
q: what is Ed25519 [for|used for]
q: how do [nodes|peers] know who they [talk to|are talking to]
q: can someone [pretend to be|impersonate|fake] my node
q: how are nodes [recognised|authenticated|verified]
q: what is my peer id
q: do I need [an account|to register|a password|a login|to sign up]

## security
Traffic is encrypted and every peer has a key, but a peer that computes for you can read your
  text. Share a
swarm only with people you trust.
t: security
q: is [it|{S}|this|the swarm] [safe|secure|dangerous|risky]
q: is it [safe|dangerous|risky] to [use|join|share my computer|run a node|let strangers in]
q: what are the risks
q: can a peer [harm|hack|attack|damage] my {machine}
q: what is the threat model
q: can I get a virus [from it|from a peer|]
q: how secure is {S}

## cheating
Nodes check each other: some work is computed again by another node and compared. A peer that
  returns wrong
results loses its reputation.
t: reputation
t: spot checks
t: audits
q: what if a [peer|node] [cheats|lies|returns wrong results|sends wrong numbers|is
  malicious|fakes results]
q: can a [peer|node|stranger] [cheat|lie|manipulate the answer|fake results|send wrong results]
q: how do you know [that|] [a peer|the others|the nodes] [computed correctly|did the work|is
  honest]
q: who checks the [results|work]
q: how is [remote work|the computation] [verified|checked]
q: what about [bad|evil|malicious|dishonest] [nodes|peers]

## credits
Points show how much a node has computed for others. Whoever gives more is served sooner when the
  swarm is
busy; they are not money.
t: points
t: credits
t: the credit system
t: the points
q: what are [points|credits] [for|good for]
q: how do I [earn|get|collect] [points|credits]
q: what do I get for [helping|sharing my computer|computing for others]
q: [is there|do I get] a reward for [sharing|helping|computing]
q: [can I|do I] [earn|make|get] money [with it|]
q: are points [money|worth money|a cryptocurrency|crypto]
q: is there a [token|coin|cryptocurrency|blockchain]
q: can I [buy|sell|trade|spend] [points|credits]
q: how [is|do you keep] it fair

## ledger
The ledger is a book of signed receipts for work done between nodes. Both sides sign, so nobody
  can invent
points alone.
t: the ledger
t: a voucher
t: vouchers
t: signed receipts
q: where are [points|credits] [kept|recorded|stored|written down]
q: who [counts|keeps track of|records] the [points|credits|work]
q: how [are|is] [points|credits|the work] [counted|recorded|tracked]
q: can someone [fake|invent|forge|print] points

## tiers
Tiers are service classes: a node that contributed more has a higher tier, and its requests wait
  less when
the swarm is busy.
t: tiers
t: a tier
t: a service tier
q: what does [my|a higher] tier [mean|give me|do]
q: how do I get a [higher|better] tier
q: who is served first
q: in which order are requests [served|answered]
q: why do I have to wait [in the queue|]

## no_server
No, there is no central server: all nodes are equal peers. You do not need an account, and nobody
  can switch
the swarm off.
t: the central server
q: is there a [central|main|master] [server|node|computer]
q: who [runs|owns|controls|operates] [the swarm|the server|the network|it]
q: where is the server
q: which computer is the [boss|master|leader|server]
q: is it [really|truly|] [peer-to-peer|decentralised|decentralized|distributed|P2P]
q: what does peer-to-peer mean
q: who is in charge
q: can it be [shut down|switched off|blocked] [by someone|]

## cloud
Not by itself: SwarmLLM uses a cloud provider only if you configure one, and then the answer's
  route says
so.
t: the cloud
q: does [it|{S}] [use|need|send anything to] [the cloud|a cloud|a cloud provider]
q: is [my data|my prompt|anything|something] [sent|uploaded] to [the cloud|a company|OpenAI|a
  server]
q: does it [phone home|collect data|send telemetry|track me|spy on me]
q: can it use a cloud [provider|model] [too|]
q: do you [collect|store|keep] my [data|questions|prompts]
q: does my data leave my {machine}

## licence
SwarmLLM is free software under the MIT or Apache-2.0 licence, whichever you prefer. The demo
  model has the
same licence.
t: the licence
t: the license
q: [what|which] [licence|license] [does it have|is it|does {S} use|is it under|applies]
q: under [what|which] [licence|license] is {S} [published|released|]
q: may I use {S} [commercially|at work|in my company|in a product]
q: is it [free software|Apache|MIT|GPL]
q: am I allowed to [change|sell|copy|share|modify] [it|{S}]
q: is {S} [open source|free software|proprietary] and under which licence
q: what licence do you have

## price
SwarmLLM costs nothing: it is free software, and the swarm uses computers that its members
  already have.
t: the price
t: the cost
q: [what|how much] does [it|{S}|this] cost
q: is [it|{S}|this] free [of charge|]
q: do I have to pay [for it|anything|]
q: is there a [subscription|fee|paid version]
q: how expensive is it
q: do I need to buy [something|anything|a licence]

## language
SwarmLLM is written in Rust. It uses actix for its actors and web server and burn for tensors.
t: the programming language
q: [which|what] [programming language|language|programming languages] is [it|{S}|this]
  [written|programmed|made|coded|implemented] in
q: is [it|{S}] written in [Rust|Python|C++|Go|Java]
q: what is {S} [written|programmed|implemented|coded|built] [in|with]
q: in [which|what] language [was|is] {S} [written|programmed|developed]
q: which [libraries|frameworks|crates] does [it|{S}] use
q: why [Rust|is it written in Rust]
q: do I need Python
q: what technology is {S} built on

## actix
Actix is a Rust library for actors: small parts of a program that only exchange messages.
  SwarmLLM uses it
for every running concern.
t: actix
t: an actor
t: actors
t: the actor model
q: why does it use actix
q: what does {S} use actix for
q: which actor library do you use

## burn
Burn is a Rust library for tensors and neural networks. SwarmLLM builds its layers on it for
  processors
and graphics cards.
t: burn
t: the burn library
q: why does it use burn
q: what does {S} use burn for
q: which [tensor|machine learning|neural network|deep learning] [library|framework] [do you
  use|does it use|is used]
q: does it use [PyTorch|TensorFlow|llama.cpp|candle]

## platforms
SwarmLLM runs on Linux and other systems with x86-64 or ARM processors, from servers to laptops
  and small
boards.
t: supported platforms
t: supported systems
q: does [it|{S}] [run|work] on [Linux|Windows|Mac|macOS|a Mac|ARM|Ubuntu|Debian]
q: [which|what] operating [system|systems] [does it need|are supported|do I need|does it support]
q: can I [run|use|install] it on [Windows|a Mac|Linux|a phone|Android|ARM|a server]
q: what [computers|hardware|processors|machines] does it run on
q: what kind of {machine} do I need

## why_use
With SwarmLLM friends can run a model together that is too big for any one of their computers,
  without
paying a cloud and without a central server.
t: the advantages
t: the benefits
q: why [should I|would I|would anyone] use {S}
q: what is [good|great|special|new|useful] about {S}
q: what are the [advantages|benefits|strengths|pros] [of {S}|]
q: what do I [gain|get] [from|out of] {S}
q: why not [just|simply|] use [the cloud|ChatGPT|a cloud service]
q: who is {S} [for|made for]
q: what problem does {S} solve
q: can I run a model that is too [big|large] for my {machine}

## difference
Tools like llama.cpp or Ollama run a model on one computer. SwarmLLM does that too, and can also
  spread one
model over many computers.
q: [how is|how does] {S} [different|differ] from [Ollama|llama.cpp|vLLM|LM Studio|Petals|other
  tools|exo]
q: what is the difference [between|to] {S} and [Ollama|llama.cpp|vLLM|LM Studio|Petals]
q: is {S} [better than|like|similar to] [Ollama|llama.cpp|vLLM|LM Studio|Petals]
q: why not [just|] use [Ollama|llama.cpp|vLLM|LM Studio]
q: [compare|comparison of] {S} [and|with] [Ollama|llama.cpp|vLLM]
q: are there [alternatives|similar programs|other tools like this]
"""
