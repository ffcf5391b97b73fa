// Writes the same five records with kafkajs (codecs none and gzip): node clients.js HOST:PORT
const { Kafka, CompressionTypes } = require('kafkajs')
async function main() {
  const producer = new Kafka({ brokers: [process.argv[2]] }).producer()
  await producer.connect()
  for (const [codec, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
    const messages = [0, 1, 2, 3, 4].map(n => (
      { key: `key-${n}`, value: `value-${n}-` + 'abc'.repeat(40), headers: { source: 'client' } }))
    await producer.send({ topic: `golden_kafkajs_${codec}`, compression, messages })
  }
  await producer.disconnect()
}
main()
