// kafkajs_producer.js BOOTSTRAP TOPIC CODEC: produces the lines "key<TAB>value" of standard input.
const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = require('kafkajs');
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');

const [bootstrap, topic, codec] = process.argv.slice(2);
const compression = { none: 0, gzip: 1, snappy: 2 }[codec];
if (compression === undefined) throw new Error(`kafkajs has no codec ${codec}`);

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
  const messages = lines.map((line) => {
    const tab = line.indexOf('\t');
    return { key: line.slice(0, tab), value: line.slice(tab + 1) };
  });
  const kafka = new Kafka({ clientId: 'kafkajs', brokers: [bootstrap], logLevel: logLevel.WARN });
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  for (let at = 0; at < messages.length; at += 5000) {
    await producer.send({ topic, compression, acks: -1, messages: messages.slice(at, at + 5000) });
  }
  await producer.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
