// kafkajs_member.js BOOTSTRAP TOPIC GROUP: a member of a group on kafkajs. Says what it does on standard output.
const { Kafka, logLevel } = require('kafkajs');

const [bootstrap, topic, groupId] = process.argv.slice(2);
const say = (...words) => process.stdout.write(`${process.hrtime.bigint()} ${words.join(' ')}\n`);

async function main() {
  const kafka = new Kafka({
    clientId: 'kafkajs',
    brokers: [bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { retries: 1000, maxRetryTime: 500, initialRetryTime: 100 },
  });
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    rebalanceTimeout: 10000,
    maxWaitTimeInMs: 200,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
    say('assigned', ...(payload.memberAssignment[topic] || [])));
  consumer.on(consumer.events.REBALANCING, () => say('revoked'));
  consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
    for (const { partitions } of payload.topics)
      for (const { partition, offset } of partitions) say('committed', partition, offset);
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommitThreshold: 50,
    autoCommitInterval: 300,
    eachMessage: async ({ partition, message }) => say('read', partition, message.offset),
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
