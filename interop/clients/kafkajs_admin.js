// kafkajs_admin.js BOOTSTRAP TOPIC GROUP: a day's work on a topic and a group; prints what it was told.
const { Kafka, ConfigResourceTypes, logLevel } = require('kafkajs');

const [bootstrap, topic, groupId] = process.argv.slice(2);

async function main() {
  const kafka = new Kafka({ clientId: 'kafkajs', brokers: [bootstrap], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  const producer = kafka.producer();
  await Promise.all([admin.connect(), producer.connect()]);
  const told = {};
  told.created = await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] });
  told.createdAgain = await admin.createTopics({ topics: [{ topic }] });
  await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] });
  const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
  told.partitions = metadata.topics[0].partitions.length;
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '70000' }] }] });
  const configs = await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }] });
  told.retention = configs.resources[0].configEntries[0].configValue;
  const messages = [...Array(10).keys()].map((number) => ({ value: `${number}`, partition: 0 }));
  await producer.send({ topic, messages });
  told.end = (await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0).offset;
  told.endByTime = (await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 1000)).find(({ partition }) => partition === 0).offset;
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '7' }] });
  const committed = await admin.fetchOffsets({ groupId, topics: [topic] });
  told.committed = committed[0].partitions.find(({ partition }) => partition === 0).offset;
  told.listed = (await admin.listGroups()).groups.some((group) => group.groupId === groupId);
  told.state = (await admin.describeGroups([groupId])).groups[0].state;
  await admin.deleteGroups([groupId]);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] });
  told.start = (await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0).low;
  told.brokers = (await admin.describeCluster()).brokers.length;
  told.reassignments = (await admin.listPartitionReassignments({})).topics.length;
  await admin.deleteTopics({ topics: [topic] });
  told.left = (await admin.listTopics()).includes(topic);
  await Promise.all([admin.disconnect(), producer.disconnect()]);
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
