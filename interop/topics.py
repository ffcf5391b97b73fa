"""Creating topics the way an administrator's script does: by a client's admin API."""

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def create(bootstrap, name, partitions=4, **config):
    """Creates a topic and waits for the broker's word that it exists."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = NewTopic(name, partitions, 1, config={k.replace("_", "."): str(v) for k, v in config.items()})
    admin.create_topics([new])[name].result(30)


def ends(bootstrap, name, partitions):
    """The end offset of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    marks = [consumer.get_watermark_offsets(TopicPartition(name, p), 30) for p in range(partitions)]
    consumer.close()
    return [high for _, high in marks]
