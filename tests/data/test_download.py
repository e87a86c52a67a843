import hashlib
import http.server
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from funcdl.data import DataError, download

CONTENT = bytes(range(256)) * 4000  # more than one chunk
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path in ("/cut", "/stalled"):
            self.wfile.write(CONTENT[:600_000])
            self.wfile.flush()
            if self.path == "/stalled":
                self.server.released.wait(60)
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    server.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("page", ["good", "unsized"])
def test_a_file_is_downloaded_to_a_new_folder(server, tmp_path, page):
    path = tmp_path / "new" / "folder" / "a.bin"
    assert download(f"{server}/{page}", path, md5=MD5, sha256=SHA256.upper()) == path
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["a.bin"]


def test_a_file_url_and_a_path_as_text(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    download((tmp_path / "source").as_uri(), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_the_file_has_ordinary_permissions(server, tmp_path):
    """A temporary file's usual 0600 would make a shared folder of data useless to everybody else."""
    (tmp_path / "ordinary").touch()
    path = download(f"{server}/good", tmp_path / "a.bin")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_the_next_mirror_is_tried_after_each_kind_of_failure(server, tmp_path):
    (tmp_path / "other").write_bytes(b"other")
    mirrors = [f"{server}/missing", f"{server}/cut", (tmp_path / "other").as_uri(), f"{server}/good"]
    path = download(mirrors, tmp_path / "a.bin", md5=MD5)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin", "other"]


@pytest.mark.parametrize(
    ("page", "checksums", "reason"),
    [
        ("missing", {}, "HTTP Error 404"),
        ("cut", {}, "the connection ended after 600000 of 1024000 bytes"),
        ("stalled", {"timeout": 0.2}, "timed out"),
        ("good", {"md5": "0" * 32}, f"its md5 is {MD5}, expected {'0' * 32}"),
        ("good", {"sha256": "0" * 64}, f"its sha256 is {SHA256}, expected {'0' * 64}"),
        ("good", {"md5": MD5, "sha256": "0" * 64}, "its sha256 is"),
    ],
)
def test_a_failure_names_file_address_reason_and_advice(server, tmp_path, page, checksums, reason):
    path = tmp_path / "a.bin"
    path.write_bytes(b"the old one")
    with pytest.raises(DataError) as caught:
        download(f"{server}/{page}", path, **checksums)
    message = str(caught.value)
    assert message.startswith(f"could not download a.bin: {server}/{page} (")
    assert reason in message
    assert message.endswith(f"; get it by other means and put it at {path}")
    assert path.read_bytes() == b"the old one"
    assert names(tmp_path) == ["a.bin"]


def test_the_message_has_the_reason_of_every_mirror(server, tmp_path):
    with pytest.raises(DataError, match=r"/missing \(HTTP Error 404.*\); http.*/cut \(the connection ended"):
        download([f"{server}/missing", f"{server}/cut"], tmp_path / "a.bin")


def test_a_refused_connection(tmp_path):
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/a \(.*refused.*\)"):
        download("http://127.0.0.1:9/a", tmp_path / "a")


def test_no_address(tmp_path):
    with pytest.raises(DataError, match="no address was given"):
        download([], tmp_path / "a")


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"could not download a.bin.*(File exists|Not a directory)"):
        download(f"{server}/good", tmp_path / "file" / "a.bin")


def test_an_interrupt_leaves_nothing_behind(server, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/good", tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_a_kill_half_way_leaves_no_file_of_that_name(server, tmp_path):
    path = tmp_path / "a.bin"
    program = f"from funcdl.data import download; download('{server}/stalled', {str(path)!r})"
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        deadline = time.monotonic() + 120
        while not any(part.stat().st_size for part in tmp_path.iterdir()):
            assert process.poll() is None, "the download ended by itself"
            assert time.monotonic() < deadline, "the download did not start"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    assert all(name.endswith(".part") for name in names(tmp_path))


def test_the_progress_bar_stays_off_where_there_is_no_terminal(server, tmp_path, capfd):
    download(f"{server}/good", tmp_path / "a.bin")
    assert capfd.readouterr() == ("", "")
