"""Task-irrelevant concepts of photographs, in words that any CLIP-like model reads."""

from causalvlm.probes.concepts import Concept

CONCEPTS: tuple[Concept, ...] = (
    Concept("place", {
        "outdoors": (
            "a photo taken outdoors", "an outdoor scene", "a picture taken outside",
            "in the open air", "outside, in nature or on a street", "an outdoor photograph",
        ),
        "indoors": (
            "a photo taken indoors", "an indoor scene", "a picture taken inside",
            "inside a building", "inside, in a room or a hall", "an indoor photograph",
        ),
    }),
    Concept("time of day", {
        "day": (
            "a photo taken by day", "a daytime scene", "a picture in daylight",
            "in bright sunlight", "during the day", "a daylight photograph",
        ),
        "night": (
            "a photo taken at night", "a night scene", "a picture in the dark",
            "in the darkness of night", "during the night", "a nighttime photograph",
        ),
    }),
    Concept("medium", {
        "photo": (
            "a photo", "a photograph", "a realistic photo taken with a camera",
            "a snapshot", "a real photograph of it", "a camera picture",
        ),
        "drawing": (
            "a drawing", "a sketch", "a line drawing made with a pencil",
            "a cartoon", "a drawn illustration of it", "a pencil drawing",
        ),
        "painting": (
            "a painting", "an oil painting", "a painting made with a brush",
            "a watercolour", "a painted artwork of it", "a painted picture",
        ),
    }),
    Concept("distance", {
        "close": (
            "a close-up photo", "a close-up", "a picture taken from very near",
            "a macro shot that fills the frame", "seen from close by", "it is near and large",
        ),
        "far": (
            "a photo from far away", "a distant view", "a picture taken from a distance",
            "a wide shot in which it is small", "seen from afar", "it is far away and small",
        ),
    }),
    Concept("clutter", {
        "plain background": (
            "a photo with a plain background", "a plain background", "on a clean, empty background",
            "isolated on white", "a studio background", "nothing behind it",
        ),
        "busy background": (
            "a photo with a cluttered background", "a busy background", "in front of many things",
            "surrounded by clutter", "a messy background", "many objects behind it",
        ),
    }),
    Concept("people", {
        "people": (
            "a photo with people in it", "people", "a person is visible",
            "a man or a woman", "human faces", "somebody is in the picture",
        ),
        "no people": (
            "a photo without people in it", "no people", "no person is visible",
            "an empty scene", "no human faces", "nobody is in the picture",
        ),
    }),
    Concept("text", {
        "text": (
            "a photo with text on it", "text", "written words are visible",
            "a caption or a watermark", "letters and numbers", "there is writing in the picture",
        ),
        "no text": (
            "a photo without text on it", "no text", "no written words are visible",
            "no caption and no watermark", "no letters, no numbers", "there is no writing in the picture",
        ),
    }),
    Concept("surroundings", {
        "water": (
            "a photo with water in the background", "water", "on the sea or a lake",
            "by the ocean", "surrounded by water", "a river or a beach",
        ),
        "grass": (
            "a photo with grass in the background", "grass", "on a green meadow or a field",
            "on the lawn", "surrounded by grass", "a green pasture",
        ),
        "forest": (
            "a photo with trees in the background", "a forest", "among trees and bushes",
            "in the woods", "surrounded by trees", "leaves and branches",
        ),
        "snow": (
            "a photo with snow in the background", "snow", "on snow or ice",
            "in winter", "surrounded by snow", "a snowy landscape",
        ),
        "sky": (
            "a photo with the sky in the background", "the sky", "in the air, before clouds",
            "in the blue sky", "surrounded by sky", "a cloudy sky",
        ),
        "buildings": (
            "a photo with buildings in the background", "buildings", "on a street in a city",
            "in town", "surrounded by houses", "a city street",
        ),
        "room": (
            "a photo with a room in the background", "a room", "on furniture or a floor",
            "at home", "surrounded by furniture", "the inside of a house",
        ),
    }),
    Concept("focus", {
        "in focus": (
            "a sharp photo", "in focus", "a picture with crisp details",
            "a clear, high-quality photo", "sharp and detailed", "a high-resolution picture",
        ),
        "blurred": (
            "a blurry photo", "out of focus", "a picture with smeared details",
            "an unclear, low-quality photo", "blurred and smeared", "a low-resolution picture",
        ),
    }),
    Concept("colour", {
        "coloured": (
            "a colour photo", "in colour", "a colourful picture",
            "a photo with bright colours", "many colours", "a coloured picture",
        ),
        "black and white": (
            "a black and white photo", "in black and white", "a greyscale picture",
            "a photo without colours", "shades of grey", "a monochrome picture",
        ),
    }),
)  # fmt: skip
"""What photographs differ in, whatever they show. A model that does not know one gives it a low reliability."""
