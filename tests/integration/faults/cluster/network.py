"""Machines that are network namespaces on one bridge, whose cables can be pulled, and of which two can be kept apart.

All of this is made inside of namespaces that belong to the run (see `inside.py`), and is gone with its last process.
"""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

_BRIDGE: Final = "br0"
_SUBNET: Final = "10.77.0"
# What is dropped on the bridge: packets from the one address to the other.
_RULES: Final = """
table bridge faults {
    set apart { type ipv4_addr . ipv4_addr; }
    chain forward { type filter hook forward priority 0; ip saddr . ip daddr @apart drop; }
}
"""
# Data may be read by whoever it belongs to, and Python may be in a folder that only root can read.
_AS_NOBODY: Final = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all,+dac_read_search"),
    *("--ambient-caps=-all,+dac_read_search", "--"),
)


class NetworkFailed(Exception):
    """A command that makes or changes the network failed."""


@frozen
class Machine:
    name: str
    address: str

    def command(self, *argv: str, as_nobody: bool = False) -> list[str]:
        """The program as this machine runs it."""
        return ["ip", "netns", "exec", self.name, *(_AS_NOBODY if as_nobody else ()), *argv]

    def pids(self, *words: str) -> list[int]:
        """The processes of this machine of whose command line one of the words is a part; without words, all."""
        found = []
        for pid in map(int, run("ip", "netns", "pids", self.name).split()):
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if not words or any(word in line for word in words):
                    found.append(pid)
        return found

    def send(self, number: int, *words: str) -> int:
        """A signal to these processes; how many got it. Those that are born meanwhile get it as well."""
        sent: set[int] = set()
        while born := set(self.pids(*words)) - sent:
            for pid in born:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            sent |= born
        return len(sent)

    def freeze(self, *words: str) -> int:
        return self.send(signal.SIGSTOP, *words)

    def thaw(self, *words: str) -> int:
        return self.send(signal.SIGCONT, *words)


@define(eq=False)
class Network:
    """One switch; this process is on it as well, at `.1`."""

    _machines: list[Machine] = field(factory=list)
    _hosts: Path = Path("/etc/hosts")

    def open(self, folder: Path) -> None:
        # Sockets in /run would be shared by all machines, and with programs outside.
        run("mount", "-t", "tmpfs", "none", "/run")
        Path("/run/netns").mkdir()
        self._hosts = folder / "hosts"
        self._hosts.write_text("127.0.0.1 localhost\n")
        run("mount", "--bind", str(self._hosts), "/etc/hosts")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", _BRIDGE, "type", "bridge")
        run("ip", "link", "set", _BRIDGE, "up")
        run("ip", "address", "add", f"{_SUBNET}.1/24", "dev", _BRIDGE)
        run("nft", "-f", "-", said=_RULES)

    def close(self) -> None:
        """Kill all that runs on the machines, and take them away."""
        for machine in self._machines:
            machine.send(signal.SIGKILL)
            # At once, and not when the last of its processes is gone.
            run("ip", "link", "delete", _port(machine))
            run("ip", "netns", "delete", machine.name)
        run("ip", "link", "delete", _BRIDGE)
        run("nft", "delete", "table", "bridge", "faults")
        for place in ("/etc/hosts", "/run"):
            run("umount", "--lazy", place)
        self._machines.clear()

    def machine(self, name: str, number: int) -> Machine:
        machine = Machine(name, f"{_SUBNET}.{number}")
        run("ip", "netns", "add", name)
        run("ip", "link", "add", _port(machine), "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", _port(machine), "master", _BRIDGE, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "address", "add", f"{machine.address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        with self._hosts.open("a") as hosts:
            hosts.write(f"{machine.address} {name}\n")
        self._machines.append(machine)
        return machine

    def pull(self, machine: Machine) -> None:
        """The cable of a machine: packets to it and from it are lost, and nobody is told."""
        run("ip", "link", "set", _port(machine), "down")

    def keep_apart(self, ones: Iterable[Machine], others: Iterable[Machine]) -> None:
        """Drop all packets between the ones and the others, in both directions."""
        others = list(others)
        pairs = [(one.address, other.address) for one in ones for other in others]
        both = ", ".join(f"{one} . {other}, {other} . {one}" for one, other in pairs)
        run("nft", "add", "element", "bridge", "faults", "apart", f"{{ {both} }}")

    def heal(self) -> None:
        """All cables are in, and nobody is kept apart."""
        run("nft", "flush", "set", "bridge", "faults", "apart")
        for machine in self._machines:
            run("ip", "link", "set", _port(machine), "up")


def _port(machine: Machine) -> str:
    return f"port-{machine.name}"


def run(*argv: str, said: str | None = None, seconds: float = 60) -> str:
    """What a command prints. Raise `NetworkFailed`, with what it said."""
    done = subprocess.run(argv, input=said, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise NetworkFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
