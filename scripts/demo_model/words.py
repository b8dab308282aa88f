"""A small thesaurus: groups of words that people use for one another in questions to SwarmLLM.

Called by grammar.py (`dress`). Data only. A word is swapped for another of its group now and then,
so that the model meets each question in more wordings than anyone would write by hand. The asides
are details about the person who asks: they say nothing about the question, and the model has to
learn that words it hardly knows may be just that.
"""

GROUPS = """
computer|machine|PC|laptop|box|desktop
computers|machines|PCs|laptops|boxes|devices
start|launch|run|boot|begin|start up
starts|launches|boots|begins
stop|halt|end|quit|shut down|kill
stops|halts|quits|shuts down
dies|fails|crashes|disappears|vanishes|breaks|goes down|goes offline|drops out
see|view|look at|check
read|see|view|get at
find|discover|locate|detect
show|display|list|print
check|verify|test|examine
join|enter|get into|become part of|connect to
invite|bring in|add|let in
big|large|huge|great
bigger|larger
small|tiny|little
fast|quick|speedy
faster|quicker
slow|sluggish
need|require
needs|requires
needed|required|necessary
safe|secure
private|confidential|secret
prompts|questions|messages|chats|inputs
prompt|question|message|input
text|words|writing
answer|reply|response
answers|replies|responses
program|software|application|app|tool
download|fetch|get
delete|remove|erase
use|employ|utilise|work with
several|multiple|a few|a couple of
people|persons|users|folks
others|other people|other users|strangers
friend|colleague|buddy|mate|pal
friends|colleagues|buddies|mates|pals
talk|speak|chat
work|function|operate
works|functions|operates
split|divided|cut|partitioned|spread
pieces|parts|chunks
decides|chooses|determines|picks
sent|transmitted|transferred|passed
sees|learns|gets to know
stored|saved|kept|located
change|modify|alter|adjust
make|create|build
made|created|built
written|programmed|coded|implemented
measure|benchmark|test|find out
speed|performance|throughput
memory|RAM
graphics card|GPU|video card
internet|web|internet connection
folder|directory
settings|options|preferences
problem|issue|trouble
bug|error|defect
explain|describe|clarify
tell me|let me know|say
purpose|point|goal|use
meaning|definition|sense
command|instruction
different|distinct|other
same|identical|equal
simple|easy|plain
currently|now|right now|at the moment
together|jointly|as a group
automatically|by itself|on its own
encrypted|secured|protected|enciphered
cost|price
free|gratis|for free
cheats|lies|is dishonest
wrong|false|incorrect|bad
model|language model|LLM|AI model
models|language models|LLMs|AI models
connected|linked|attached
happens|occurs|goes on
distributed|spread|shared out
wants|would like|wishes|hopes
want|would like|wish
possible|feasible|doable
way|method|means
"""

FILLERS = {
    "job": "teacher nurse farmer student doctor lawyer baker plumber pilot painter musician cook "
           "journalist librarian carpenter engineer gardener driver dentist programmer beginner",
    "place": "school work home university church town Berlin London Paris India France Ohio Texas "
             "camp sea college Rome Spain Vienna Oslo",
    "relative": "brother wife husband son daughter uncle aunt cousin father mother grandfather "
                "grandmother nephew niece neighbour boss teacher flatmate partner girlfriend",
    "group": "family club class company team village school office library lab hospital band "
             "choir department university kitchen garage basement",
    "time": "yesterday|this morning|last week|tonight|tomorrow|on Sunday|at night|in summer|"
            "every day|next year|at lunch|after dinner|for an hour",
    "thing": "bicycle kitchen coffee guitar kettle balcony train window holiday dinner umbrella "
             "camera sofa bus shoe tent boat piano lamp suitcase",
}
ASIDES_BEFORE = [
    "I am a {job}. ", "I am a {job} and ", "I work as a {job}, ", "my {relative} asks: ",
    "my {relative} wants to know: ", "my {relative} asked me {time}: ", "for our {group}: ",
    "we are a {group}. ", "at {place} we have five computers. ", "I installed it {time}. ",
    "I read about it {time}. ", "hello from {place}! ", "I sit on a {thing} and wonder: ",
    "forget the {thing}: ", "my {relative} and I have a question: ", "suppose I am in {place}: ",
    "I am old and slow, so ", "we talked about it {time}. ", "honestly, ", "to be honest, ",
    "seriously, ", "for a {thing} shop: ", "before I buy a {thing}: ", "as a {job}, ",
    "my {relative} bought a {thing} {time}. ", "in our {group} we asked ourselves ",
]
ASIDES_AFTER = [
    " in our {group}", " at {place}", " {time}", " for my {relative}", " for our {group}",
    ", my {relative} asks", ", I am only a {job}", " with my {relative}", " near the {thing}",
    ", says my {relative}", " from {place}", " when I am in {place}",
]

THESAURUS: dict[str, list[str]] = {}
for _line in GROUPS.strip().split("\n"):
    _group = _line.split("|")
    for _word in _group:
        THESAURUS.setdefault(_word, []).extend(w for w in _group if w != _word)
