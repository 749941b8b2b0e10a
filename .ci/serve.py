"""Run the README's command that serves the app, as printed, and ask the app for its page.

Usage: python serve.py COMMAND. The command must print an address, answer there, and end well on SIGTERM.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

command = sys.argv[1]
server = subprocess.Popen(
    ["bash", "-c", f"{command.replace('python -m', 'exec python -m')}"],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    env={**os.environ, "PYTHONUNBUFFERED": "1"},
    start_new_session=True,
    text=True,
)
assert server.stdout is not None
watchdog = threading.Timer(300, os.killpg, (server.pid, signal.SIGKILL))
watchdog.daemon = True
watchdog.start()

seen: list[str] = []
address = None
for line in server.stdout:
    seen.append(line)
    if found := re.search(r"http://[\w.\[\]:]+:\d+", line):
        address = found[0]
        break
if address is None:
    sys.exit(f"the command ended without printing an address:\n{''.join(seen[-40:])}")

# What it prints from here on is read, or a full pipe would stop it.
rest = threading.Thread(target=lambda: seen.extend(server.stdout), daemon=True)
rest.start()

page = ""
for _ in range(50):  # an address may be printed a moment before the server listens
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            page = answer.read().decode()
        break
    except ConnectionRefusedError:
        threading.Event().wait(0.2)
    except OSError as error:
        if not isinstance(getattr(error, "reason", None), ConnectionRefusedError):
            raise
        threading.Event().wait(0.2)
print(f"{address} answered with a page of {len(page)} characters")

server.send_signal(signal.SIGTERM)
code = server.wait(timeout=60)
rest.join(timeout=10)
watchdog.cancel()
if "<html" not in page.lower() or code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
    sys.exit(f"exit code {code} and {page[:200]!r}:\n{''.join(seen[-40:])}")
print(f"and ended with exit code {code} on SIGTERM")
