"""One TCP stream at an even rate from one network namespace to another, and what its receiver saw.

    stream-meter.py receive ADDRESS PORT RESULT     one connection; writes a line of JSON to RESULT when it ends
    stream-meter.py send ADDRESS PORT MBITS FILE    until FILE is there

The receiver notes each pause of more than 50 ms, by the wall clock that both ends share, and the digest of all bytes; the sender prints
how many bytes it sent and their digest.
"""
import hashlib, json, os, socket, sys, time


def receive(address, port, result):
    server = socket.create_server((address, port))
    connection, _ = server.accept()
    digest, total, pauses, last = hashlib.sha256(), 0, [], None
    while data := connection.recv(1 << 16):
        now = time.time()
        if last is not None and now - last > 0.05:
            pauses.append([round(last, 3), round(now - last, 3)])
        last = now
        digest.update(data)
        total += len(data)
    with open(result, "w") as file:
        json.dump({"bytes": total, "sha256": digest.hexdigest(), "pauses": pauses}, file)


def send(address, port, megabits, stop):
    connection = socket.create_connection((address, port))
    digest, total, begin = hashlib.sha256(), 0, time.time()
    while not os.path.exists(stop):
        # Random bytes: nothing on the way can be right by chance.
        block = os.urandom(1250)
        connection.sendall(block)
        digest.update(block)
        total += len(block)
        ahead = begin + total * 8 / (megabits * 1e6) - time.time()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -0.5:
            # What could not be sent is not made up for.
            begin = time.time() - total * 8 / (megabits * 1e6)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(json.dumps({"bytes": total, "sha256": digest.hexdigest()}))


if __name__ == "__main__":
    arguments = sys.argv[2:]
    if sys.argv[1] == "receive":
        receive(arguments[0], int(arguments[1]), arguments[2])
    else:
        send(arguments[0], int(arguments[1]), float(arguments[2]), arguments[3])
