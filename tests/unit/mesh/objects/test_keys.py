import pytest

from mesh.objects import InvalidKey, open_store
from mesh.objects.port import check_key, check_prefix


@pytest.mark.parametrize("key", ["a", "t/0190/faces/x.jpg", "A_b-c.d", "a/b/c"])
def test_plain_paths_are_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        ".hidden",
        "a/.tmp-x",
        "a\\b",
        "a b",
        "é",
        "a\0",
        "a" * 513,
    ],
)
def test_whatever_could_leave_the_store_is_no_key(key: str) -> None:
    with pytest.raises(InvalidKey):
        check_key(key)


@pytest.mark.parametrize("prefix", ["", "t/", "t/0190", "t/0190/"])
def test_beginnings_of_keys_are_prefixes(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a/.."])
def test_other_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(InvalidKey):
        check_prefix(prefix)


@pytest.mark.parametrize(
    "url", ["", "/images", "folder://relative", "s3://host/bucket", "s3://key:hunter2@host", "ftp://x/y"]
)
async def test_a_setting_that_names_no_store_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="images are at") as refused:
        async with open_store(url):
            pass
    assert "hunter2" not in str(refused.value)
