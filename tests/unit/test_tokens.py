"""Named tokens: how they are written, in a variable and in a file."""

import re

import pytest

from bridge.model.tokens import (
    PREFIX,
    Token,
    TokenError,
    check_name,
    digest_of,
    fixed_of,
    line_of,
    new_token,
    tokens_of_file,
    tokens_of_variable,
    written_fixed,
)

PLANTED = "lfb_planted-token"
DIGEST = digest_of(PLANTED)


def test_a_variable_names_tokens_with_commas_between_them() -> None:
    assert tokens_of_variable("ada:one:two=, ben@x.org:2") == (
        Token(name="ada", digest=digest_of("one:two=")),
        Token(name="ben@x.org", digest=digest_of("2")),
    )


def test_a_file_names_one_token_a_line_with_what_it_fixes() -> None:
    text = f"""
    # comment
    ada sha256:{DIGEST} member=ada,team.id=data%20%26%20ai%2C%20x
    ben\tsha256:{digest_of("2")}
    """
    ada, ben = tokens_of_file(text)
    assert (ada.name, ada.digest) == ("ada", DIGEST)
    assert ada.fixed == {"member": "ada", "team.id": "data & ai, x"}
    assert (ben.name, ben.fixed) == ("ben", {})


def test_a_token_is_read_as_it_was_written() -> None:
    fixed = {"member": "Ada Lovelace", "department": "R&D, 100 % größer = besser", "x": "#1"}
    token = Token(name="ada", digest=DIGEST, fixed=fixed)
    assert tokens_of_file(line_of(token)) == (token,)
    assert fixed_of(written_fixed(fixed)) == fixed


@pytest.mark.parametrize(
    "text",
    [
        PLANTED,
        f":{PLANTED}",
        "ada:",
        f"ada:{PLANTED} {PLANTED}",
        f"a da:{PLANTED}",
        f"{PLANTED}:ada",
        f"ada:{PLANTED},",
        f"ada:{PLANTED},ada:other",
        f"ada:{PLANTED},ben:{PLANTED}",
        f"{'a' * 65}:{PLANTED}",
        f"ada:{PLANTED}ß",
    ],
)
def test_a_wrong_variable_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(TokenError) as wrong:
        tokens_of_variable(text)
    assert "planted" not in str(wrong.value)


@pytest.mark.parametrize(
    "text",
    [
        f"ada {PLANTED}",
        f"ada:{PLANTED}",
        f"ada sha256:{PLANTED}",
        f"ada sha256:{DIGEST.upper()}",
        f"{PLANTED} sha256:{DIGEST}",
        f"ada sha256:{DIGEST} member",
        f"ada sha256:{DIGEST} member=",
        f"ada sha256:{DIGEST} =ada",
        f"ada sha256:{DIGEST} member=a,member=b",
        f"ada sha256:{DIGEST} member=a%0A",
        f"ada sha256:{DIGEST} member=a {PLANTED}",
        f"ada sha256:{DIGEST}\nada sha256:{digest_of('2')}",
        f"ada sha256:{DIGEST}\nben sha256:{DIGEST}",
    ],
)
def test_a_wrong_file_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(TokenError) as wrong:
        tokens_of_file(text)
    assert "planted" not in str(wrong.value)
    assert DIGEST not in str(wrong.value)


def test_a_wrong_line_is_told_by_its_number() -> None:
    with pytest.raises(TokenError, match=r"^line 3 should be NAME sha256:"):
        tokens_of_file(f"# head\nada sha256:{DIGEST}\nben {PLANTED}\n")


def test_a_new_token_is_recognisable_random_and_fits_a_header() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(rf"{PREFIX}[\w-]{{43}}", token) for token in made)
    assert all(tokens_of_variable(f"ada:{token}") for token in made)


@pytest.mark.parametrize("name", ["", "a b", "-x", "a,b", "a:b", "lfb_x", "a\n", "#a"])
def test_a_name_is_one_plain_word_and_no_token(name: str) -> None:
    with pytest.raises(TokenError, match="name should be letters"):
        check_name(name)


def test_what_is_known_of_a_token_is_not_shown() -> None:
    (token,) = tokens_of_variable("ada:secret")
    assert repr(token) == "Token(name='ada', fixed={}, is_short=True)"
