"""What a configuration says of the length of prompts and answers, in sentences."""

from gateway.config.promises import OutputLimits, SlaClass
from gateway.config.schema import Config


def lengths(config: Config) -> tuple[str, ...]:
    """One sentence on answers and one on prompts, where there is anything to say."""
    policy = config.policy
    holders: list[tuple[str, OutputLimits]] = [("everybody", policy), *_named(config)]
    holders += [(f"task {name}", section) for name, section in config.tasks.items()]
    answers = [f"{whom} {said}" for whom, section in holders if (said := _answers(section))]
    longest = [("everybody", policy.max_prompt), *((whom, each.max_prompt) for whom, each in _named(config))]
    prompts = [f"{whom} {tokens}" for whom, tokens in longest if tokens is not None]
    found = []
    if answers:
        excess = "lowered" if policy.over_max_output == "lower" else "refused"
        found.append(f"Tokens of an answer: {', '.join(answers)}; a request for more than the most is {excess}.")
    if prompts:
        found.append(f"Tokens of a prompt at most: {', '.join(prompts)}.")
    return (*found, *_truncation(config))


def _answers(section: OutputLimits) -> str:
    default = "" if section.default_output is None else f"{section.default_output} unless asked for otherwise"
    most = "" if section.max_output is None else f"at most {section.max_output}"
    return " and ".join(each for each in (default, most) if each)


def _truncation(config: Config) -> tuple[str, ...]:
    everybody = config.policy.truncation == "oldest_turns"
    others = [whom for whom, section in _named(config) if _shortens(config, section) != everybody]
    if not everybody and not others:
        return ()
    whose = "of everybody" if everybody else f"of {', '.join(others)}"
    besides = f" but {', '.join(others)}" if everybody and others else ""
    return (f"A prompt {whose}{besides} that is too long loses its oldest turns instead of being refused.",)


def _shortens(config: Config, section: SlaClass) -> bool:
    return (section.truncation or config.policy.truncation) == "oldest_turns"


def _named(config: Config) -> tuple[tuple[str, SlaClass], ...]:
    return tuple((f"class {name}", section) for name, section in config.classes.items())
