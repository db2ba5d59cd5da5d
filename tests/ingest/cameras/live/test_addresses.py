from pathlib import Path

import pytest

from ingest.cameras.live.addresses import Address, CameraFileError, load_cameras

SECRET = "geheim-4711"
GOOD = 'source = "K-17"\nurl = "http://10.0.0.7/video"\nrate = 2\n'


def written(folder: Path, *cameras: str) -> Path:
    path = folder / "cameras.toml"
    path.write_text("\n".join(f"[[cameras]]\n{camera}" for camera in cameras))
    return path


def test_a_file_of_cameras_is_read_in_its_order(tmp_path):
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "ca.pem").write_text("")
    found = load_cameras(
        written(
            tmp_path,
            GOOD,
            'source = "b"\nurl = "https://cam.example:8443/p?x=1"\nrate = 0.1\nkind = "jpeg"\nuser = "u"\n'
            'password_file = "password"\nca_file = "ca.pem"\n',
            'source = "c"\nurl = "rtsp://[::1]/main"\nrate = 5.0\nuser = "u"\npassword = "p:@/"\n',
        )
    )
    assert found == (
        Address(1, "K-17", "http://10.0.0.7/video", 2.0),
        Address(
            2,
            "b",
            "https://cam.example:8443/p?x=1",
            0.1,
            "jpeg",
            user="u",
            password=SECRET,
            ca_file=tmp_path / "ca.pem",
        ),
        Address(3, "c", "rtsp://[::1]/main", 5.0, "rtsp", user="u", password="p:@/"),
    )
    assert [(address.host, address.port) for address in found] == [
        ("10.0.0.7", 80),
        ("cam.example", 8443),
        ("::1", 554),
    ]


def test_only_number_and_host_of_a_camera_are_shown():
    address = Address(3, "K-17", f"http://10.0.0.7:81/{SECRET}", 2.0, user=SECRET, password=SECRET)
    assert address.label == "camera 3 (10.0.0.7:81)"
    assert not [secret for secret in (SECRET, "K-17", "10.0.0.7") if secret in repr(address)]
    assert Address(4, "K-17", "http://k-17.city.example/", 2.0).label == "camera 4"


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("", "needs source"),
        (GOOD.replace("K-17", "x" * 201), "needs source"),
        (GOOD.replace("K-17", "a\\nb"), "needs source"),
        (GOOD.replace('"K-17"', "17"), "needs source"),
        (GOOD.replace("rate = 2", ""), "needs rate"),
        (GOOD.replace("rate = 2", "rate = nan"), "needs rate"),
        (GOOD.replace("rate = 2", "rate = true"), "needs rate"),
        (GOOD.replace("rate = 2", "rate = 0.001"), "needs rate"),
        (GOOD.replace("rate = 2", "rate = 61"), "needs rate"),
        (GOOD.replace("http:", "file:"), "needs url"),
        (GOOD.replace("http:", "rtsps:"), "needs url"),
        (GOOD.replace("10.0.0.7", ""), "needs url"),
        (GOOD.replace("10.0.0.7", "10.0.0.7:99999"), "needs url"),
        (GOOD.replace("10.0.0.7", "[::1"), "needs url"),
        (GOOD.replace("/video", "/vidéo"), "needs url"),
        (GOOD.replace("/video", "/a b"), "needs url"),
        (GOOD.replace("/video", "/a\\nHost: b"), "needs url"),
        (GOOD.replace("10.0.0.7", f"u:{SECRET}@10.0.0.7"), "user or password in its url"),
        (f'{GOOD}kind = "rtsp"', "does not go with the scheme"),
        (f'{GOOD.replace("http", "rtsp")}kind = "mjpeg"', "does not go with the scheme"),
        (f'{GOOD}kind = "{SECRET}"', "has a kind other than"),
        (f'{GOOD}{SECRET} = "x"', "has a key other than"),
        (f'{GOOD}password = "{SECRET}"', "password without a user"),
        (f'{GOOD}user = "u:v"\npassword = "{SECRET}"', "colon in its user"),
        (f'{GOOD}user = "u"', "needs password"),
        (f'{GOOD}user = "u"\npassword = "{SECRET}"\npassword_file = "x"', "both password and password_file"),
        (f'{GOOD}user = "u"\npassword_file = "{SECRET}"', "has password_file, but there is no such file"),
        (f'{GOOD}user = "u"\npassword_file = "empty"', "needs password"),
        (f'{GOOD}user = "u"\npassword_file = "long"', "needs password"),
        (f'{GOOD}ca_file = "absent.pem"', "has ca_file, but there is no such file"),
    ],
)
def test_an_error_in_a_camera_is_reported_without_its_values(camera, words, tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "long").write_text(SECRET * 200)
    with pytest.raises(CameraFileError, match=r"cameras\.toml: camera 2: ") as wrong:
        load_cameras(written(tmp_path, GOOD.replace("K-17", "other"), camera))
    assert words in str(wrong.value)
    assert not [secret for secret in (SECRET, "K-17", "10.0.0.7") if secret in str(wrong.value)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"1 to 100 tables"),
        ("cameras = 5", r"1 to 100 tables"),
        ("".join(f"[[cameras]]\n{GOOD.replace('17', str(n))}" for n in range(101)), r"1 to 100 tables"),
        (f'[[cameras]]\n{GOOD}password = "{SECRET}', "it is not TOML"),
        (f"[[cameras]]\n{GOOD}" * 2, "cameras 1 and 2 have the same source"),
        ("city = 1", "unknown key city"),
        ("#" * (2 << 20), "too large"),
    ],
)
def test_a_file_that_lists_no_cameras_is_refused(text, words, tmp_path):
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    with pytest.raises(CameraFileError, match=words) as wrong:
        load_cameras(path)
    assert SECRET not in str(wrong.value)


def test_a_file_that_can_not_be_read_is_reported(tmp_path):
    with pytest.raises(CameraFileError, match="No such file"):
        load_cameras(tmp_path / "absent.toml")
    (tmp_path / "cameras.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CameraFileError, match="not TOML"):
        load_cameras(tmp_path / "cameras.toml")
