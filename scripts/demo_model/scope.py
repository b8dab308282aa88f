"""Small talk, and questions outside the model's knowledge with an honest answer.

Called by corpus.py. Not run by itself. `small_talk`, `courtesy` and `out_of_scope` draw one
(question, answer) pair each from the given generator of random numbers.
"""

from random import Random

from grammar import dress, expand

OUT_OF_SCOPE_ANSWER = (
    "I am a small demo model and only know about SwarmLLM, so I cannot answer that. Ask me about "
    "nodes, shards or commands."
)

SMALL_TALK = [
    (["[hello|hi|hey|hello there|hi there|good morning|good evening|good afternoon|greetings|hey "
      "there|moin|howdy|hiya|yo|hello demo|hi swarm|hello world]"],
     "Hello! I am the SwarmLLM demo model. Ask me how to start a node, what a shard is, or who can "
     "see your prompts."),
    (["how are you [today|doing|]", "how is it going", "are you [well|okay|fine]", "what's up",
      "how do you [do|feel]", "how are things", "everything [fine|okay|all right]"],
     "I am fine, thank you: all my layers are loaded. What would you like to know about SwarmLLM?"),
    (["[thanks|thank you|thank you very much|thanks a lot|thx|many thanks|cheers|great, thanks|"
      "perfect, thank you|that helped|that was helpful|nice, thanks|cool, thanks|ta|much obliged]"],
     "You are welcome! Ask again whenever you like."),
    (["[bye|goodbye|see you|see you later|bye bye|good night|that is all|I am done|ciao|farewell|"
      "until tomorrow|so long|I have to go|that was all]"],
     "Goodbye, and have fun with your swarm!"),
    (["[test|this is a test|just testing|testing|ping|are you there|is anybody there|do you hear "
      "me|can you hear me|are you working|do you work|hello, are you there]"],
     "Yes, I am here and all stages work. Ask me something about SwarmLLM."),
    (["[you are great|good job|well done|nice|cool|awesome|wow|I like you|very good|excellent|"
      "fantastic|amazing|great answer|you are cool|I love it|impressive]"],
     "Thank you, that is kind! What else would you like to know about SwarmLLM?"),
    (["[ok|okay|I see|understood|got it|all right|aha|yes|sure|fine|hm|hmm|interesting|right]"],
     "Good. What else would you like to know about SwarmLLM?"),
    (["[no|not really|wrong|that is wrong|I do not think so|that's not right|nonsense|rubbish|that "
      "is not what I asked|you did not answer my question|that did not help]"],
     "I am sorry, I am only a small model. Try asking with other words, for example: what is a "
     "node?"),
]

# More of the same for the finishing phase: the index of an entry of SMALL_TALK, and a request.
COURTESIES = [
    (0, "[good|a very good|a wonderful] [morning|evening|day|afternoon] "
        "[to you|my friend|everybody|from Rome|dear model|]"),
    (0, "[hello|hi|hey|greetings|welcome] "
        "[to you|my friend|again|everybody|dear model|little model|you|from Berlin|SwarmLLM|"
        "swarm]"),
    (2, "[thank you|thanks|many thanks|thank you so much|thanks so much] [very much|a lot|] "
        "[for|for all] "
        "[the help|this|everything|your time|the answer|your answers|explaining|"
        "the explanation|that]"),
    (2, "[that|this] [was|is] [very|really|so|] [helpful|kind|useful|nice of you], "
        "[thanks|thank you]"),
    (3, "[goodbye|bye|farewell|see you] "
        "[then|for now|tomorrow|soon|my friend|and thanks|little model]"),
    (3, "I [must|have to|need to] [leave|go|stop] [now|soon|], [bye|goodbye|see you]"),
]

COUNTRIES = ("France Germany Spain Italy Japan China Brazil Canada India Egypt Norway Sweden "
             "Poland "
             "Kenya Peru Mexico Russia Turkey Greece Austria Portugal Chile Cuba Nepal").split()
CITIES = ("Paris Berlin London Rome Tokyo Madrid Vienna Oslo Hamburg Munich Cairo Lima Boston "
          "Chicago Sydney Zurich Prague Warsaw Dublin Athens Lisbon Delhi Seoul Moscow").split()
FOODS = ("pancakes pizza bread soup rice pasta cake cookies salad curry sushi tea coffee lasagna "
         "noodles potatoes waffles burgers apple-pie chocolate").split()
ANIMALS = ("cat dog horse elephant lion tiger whale snake bird fish spider bear rabbit cow penguin "
           "shark wolf mouse frog turtle owl dolphin giraffe").split()
THINGS = ("love music history football chess mathematics physics chemistry biology art poetry cars "
          "trees money gold happiness weather politics religion philosophy space planets dinosaurs "
          "volcanoes gardening fashion movies books basketball tennis cooking travel fishing war "
          "gravity evolution electricity bitcoin stocks taxes medicine yoga dreams colours").split()
PEOPLE = ("Einstein|Newton|Shakespeare|Napoleon|Mozart|Beethoven|Goethe|Cleopatra|Picasso|Darwin|"
          "the president|the king of England|the pope|Madonna|Taylor Swift|Batman|Elvis|Columbus|"
          "Marie Curie|Gandhi|Plato|Harry Potter|Elon Musk|my teacher|your favourite actor")

OUT_OF_SCOPE = [
    "what is the capital of {country}", "where is {country}", "how many people live in {country}",
    "what is the population of {city}", "who is the president of {country}", "where is {city}",
    "what language do they speak in {country}", "how far is {city} from {city2}",
    "how is the weather [in {city}|today|tomorrow|outside]",
    "will it rain [today|tomorrow|in {city}]",
    "what time is it [in {city}|now|]", "what day is [it|today]", "what is the date",
    "how do I [cook|make|bake|prepare] {food}", "give me a recipe for {food}", "do you like {food}",
    "what is a {animal}", "how long does a {animal} live", "what does a {animal} eat",
    "how fast is a {animal}", "can a {animal} swim", "tell me about {animal}s",
    "what is {thing}", "explain {thing}", "tell me about {thing}",
    "what do you think about {thing}",
    "do you like {thing}", "teach me {thing}", "is {thing} important", "who invented {thing}",
    "who [was|is] {person}", "when was {person} born", "tell me about {person}", "is {person} dead",
    "who won the [world cup|election|game|match|race]", "what is the meaning of life",
    "what is the news [today|]", "sing me a song", "tell me a joke", "write a poem about {thing}",
    "write an essay about {thing}", "write a python program that [sorts a list|prints primes]",
    "translate [hello|good morning|thank you] into [French|Spanish|German|Japanese]",
    "what is the [tallest|highest|biggest|longest|oldest] [mountain|river|building|city|tree]",
    "how old is the [earth|universe|sun|moon]", "how far away is the [moon|sun]",
    "why is the sky blue", "why is [grass green|the sea salty|snow white|fire hot]",
    "who wrote [Hamlet|Faust|the Bible|Don Quixote]", "what is your favourite [colour|movie|book]",
    "should I [marry|quit my job|buy a house|get a dog|see a doctor|learn the piano]",
    "what is the square root of [nine|two|{thing}]", "how do I [lose weight|get rich|fix my car]",
    "how do I get to {city}", "book a [flight|hotel] to {city}", "what is the price of [gold|oil]",
    "recommend a [movie|book|restaurant|song]",
    "when did the [war|Roman empire|cold war] [end|start]",
    "I have a headache, what should I do", "what is the speed of light", "do you love me",
    "how many legs does a {animal} have", "which is bigger, a {animal} or a {animal2}",
    "what is the best [car|phone|football team|university]", "are there aliens", "is god real",
    "plan my holiday in {country}", "what should I [eat|wear|do|read] [today|tonight]",
    "how [tall|old|rich] is {person}", "what did {person} do",
    "summarise [the|a] book about {thing}",
    "what is {thing} in {country}", "correct my essay", "solve this equation", "draw a {animal}",
]


def small_talk(rng: Random) -> tuple[str, str]:
    """A greeting, a thank-you and the like, with its reply."""
    templates, answer = rng.choice(SMALL_TALK)
    question = expand(rng, rng.choice(templates))
    mark = rng.choice(["", "", ".", "!", "?"])
    question = question if rng.random() < 0.5 else question[:1].upper() + question[1:]
    return question + mark, answer


def courtesy(rng: Random) -> tuple[str, str]:
    """A longer greeting, thank-you or goodbye, with its reply."""
    index, template = rng.choice(COURTESIES)
    question = expand(rng, template)
    question = question if rng.random() < 0.4 else question[:1].upper() + question[1:]
    return question + rng.choice(["", ".", "!", "!"]), SMALL_TALK[index][1]


def out_of_scope(rng: Random) -> tuple[str, str]:
    """A question about the rest of the world, with the same honest answer every time."""
    template = rng.choice(OUT_OF_SCOPE)
    fillers = {
        "country": COUNTRIES, "city": CITIES, "city2": CITIES, "food": FOODS, "animal": ANIMALS,
        "animal2": ANIMALS, "thing": THINGS, "person": PEOPLE.split("|"),
    }
    for name, values in fillers.items():
        template = template.replace("{" + name + "}", rng.choice(values))
    return dress(rng, expand(rng, template)), OUT_OF_SCOPE_ANSWER
