"""What an administrator learns of a topic from the real Kafka."""

import pytest

from schemas.topics import live, settings

pytestmark = pytest.mark.services


def test_the_retention_of_a_topic_and_its_old_messages_are_known(kafka_log, city):
    topic = live(city, "energy.readings")
    kafka_log.create(topic, 2, settings("energy.readings"))
    writer = kafka_log.writer()
    for number in range(3):
        writer.send_to(topic, 0, b"%d" % number)
    writer.close()
    assert kafka_log.retention_ms(topic) == int(settings("energy.readings")["retention.ms"])
    assert kafka_log.inspect([topic], []).topics[topic].young == [0, 0]
    assert kafka_log.inspect([topic], [], old_share=1e-12).topics[topic].young is None
