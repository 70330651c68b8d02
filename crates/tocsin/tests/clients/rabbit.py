"""A client of a RabbitMQ broker: declares queues, and takes messages out of them.

    rabbit.py PORT declare QUEUE [EXCHANGE KEY]    a durable queue, bound to a direct exchange if one is named
    rabbit.py PORT take QUEUE COUNT                waits for so many messages; one JSON object a line
    rabbit.py PORT all QUEUE COUNT                 the same, until COUNT different bodies have come
    rabbit.py PORT lose EXCHANGE                   an exchange that no queue is bound to
    rabbit.py PORT limit QUEUE COUNT               a queue that refuses messages when it has so many
"""

import json
import sys
import time

import pika

PATIENCE = 60.0


def main(port, action, *arguments):
    parameters = pika.ConnectionParameters("127.0.0.1", int(port), connection_attempts=40, retry_delay=0.25)
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    {"declare": declare, "take": take, "all": take_all, "lose": lose, "limit": limit}[action](channel, *arguments)
    connection.close()


def declare(channel, queue, exchange=None, key=None):
    channel.queue_declare(queue, durable=True)
    if exchange:
        channel.exchange_declare(exchange, durable=True)
        channel.queue_bind(queue, exchange, key)


def lose(channel, exchange):
    channel.exchange_declare(exchange, durable=True)


def limit(channel, queue, count):
    channel.queue_declare(queue, arguments={"x-max-length": int(count), "x-overflow": "reject-publish"})


def take(channel, queue, count):
    for message in messages(channel, queue, int(count), lambda taken: len(taken)):
        print(json.dumps(message))


def take_all(channel, queue, count):
    different = set()

    def seen(taken):
        different.update(message["body"] for message in taken[-1:])
        return len(different)

    for message in messages(channel, queue, int(count), seen):
        print(json.dumps(message))


def messages(channel, queue, count, seen):
    taken, deadline = [], time.monotonic() + PATIENCE
    while seen(taken) < count:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            if time.monotonic() > deadline:
                sys.exit(f"only {len(taken)} messages came")
            time.sleep(0.01)
            continue
        taken.append(
            {
                "exchange": method.exchange,
                "routing_key": method.routing_key,
                "properties": {name: value for name, value in vars(properties).items() if value is not None},
                "body": body.decode(),
            }
        )
    return taken


main(*sys.argv[1:])
