"""Stand-ins for the services that give credentials, and a proxy that keeps what it is asked."""

import contextlib
import datetime
import http.server
import json
import threading


class Service:
    """Answers over HTTP on the loopback interface; keeps method and path of each request."""

    def __init__(self, answer):
        self.requests = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                self.rfile.read(int(self.headers["content-length"] or 0))
                service.requests.append(f"{self.command} {self.path}")
                status, body = answer(self)
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_CONNECT = handle_one

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextlib.contextmanager
def service(answer):
    running = Service(answer)
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        thread.join()
        running.server.server_close()


def keys(endpoint, seconds=3600, token=None, **more):
    """The JSON of the endpoint's credentials, good for so many seconds."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    document = {"AccessKeyId": endpoint.access_key, "SecretAccessKey": endpoint.secret_key,
                "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")} | more
    return json.dumps(document | ({"Token": token} if token else {}))
