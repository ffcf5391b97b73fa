// Has kafkajs do what users do: node kafkajs_client.js BOOTSTRAP [SASL_BOOTSTRAP]
// A step that is refused is said and passed over: refusals are frames too.
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const [bootstrap, sasl] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [bootstrap], logLevel: logLevel.ERROR })
const step = async (what, run) => {
  try {
    await run()
    console.log('done kafkajs', what)
  } catch (error) {
    console.log('failed kafkajs', what, error.message)
  }
}

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  await step('topics', () => admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }, { topic: 'js-gone' }] }))
  await step('partitions', () => admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 3 }] }))
  await new Promise(resolve => setTimeout(resolve, 1000))
  const messages = [...Array(8).keys()].map(i => ({ key: `k${i}`, value: `value ${i} `.repeat(8), headers: { h: '1' } }))
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    await step(`produce ${compression}`, async () => {
      const producer = kafka.producer({ idempotent: compression === CompressionTypes.GZIP })
      await producer.connect()
      await producer.send({ topic: 'js', messages, compression })
      await producer.disconnect()
    })
  }
  await step('transaction', async () => {
    const producer = kafka.producer({ transactionalId: 'js-tx', maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    for (const end of ['commit', 'abort']) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: 'js', messages: [{ value: end }] })
      await transaction.sendOffsets({ consumerGroupId: 'js-group', topics: [{ topic: 'js', partitions: [{ partition: 0, offset: '1' }] }] })
      await transaction[end]()
    }
    await producer.disconnect()
  })
  await step('consume', async () => {
    const consumer = kafka.consumer({ groupId: 'js-group' })
    await consumer.connect()
    await consumer.subscribe({ topics: ['js'], fromBeginning: true })
    await consumer.run({ eachMessage: async () => {} })
    await new Promise(resolve => setTimeout(resolve, 6000))
    await consumer.disconnect()
  })
  await step('metadata', () => admin.fetchTopicMetadata({ topics: ['js'] }))
  await step('offsets', () => admin.fetchTopicOffsets('js'))
  await step('offsets by time', () => admin.fetchTopicOffsetsByTimestamp('js', 5))
  await step('group offsets', () => admin.fetchOffsets({ groupId: 'js-group', topics: ['js'] }))
  await step('set offsets', () => admin.setOffsets({ groupId: 'js-group', topic: 'js', partitions: [{ partition: 0, offset: '1' }] }))
  await step('groups', () => admin.listGroups())
  await step('describe groups', () => admin.describeGroups(['js-group']))
  await step('cluster', () => admin.describeCluster())
  const resource = { type: ConfigResourceTypes.TOPIC, name: 'js' }
  await step('configs', () => admin.describeConfigs({ resources: [resource] }))
  await step('alter', () => admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] }))
  await step('acls', () => admin.createAcls({ acl: [{ resourceType: 2, resourceName: 'js', resourcePatternType: 3, principal: 'User:a', host: '*', operation: 3, permissionType: 3 }] }))
  await step('describe acls', () => admin.describeAcls({ resourceType: 2, resourceName: 'js', resourcePatternType: 3, operation: 1, permissionType: 1 }))
  await step('delete acls', () => admin.deleteAcls({ filters: [{ resourceType: 2, resourceName: 'js', resourcePatternType: 3, operation: 1, permissionType: 1 }] }))
  await step('records', () => admin.deleteTopicRecords({ topic: 'js', partitions: [{ partition: 0, offset: '1' }] }))
  await step('reassign', () => admin.alterPartitionReassignments({ topics: [{ topic: 'js', partitionAssignment: [{ partition: 0, replicas: [1] }] }] }))
  await step('reassignments', () => admin.listPartitionReassignments({}))
  await step('delete groups', () => admin.deleteGroups(['js-group']))
  await step('delete topics', () => admin.deleteTopics({ topics: ['js-gone'] }))
  await admin.disconnect()
  for (const mechanism of sasl ? ['plain', 'scram-sha-256'] : []) {
    await step(mechanism, async () => {
      const [username, password] = mechanism === 'plain' ? ['alice', 'alice-secret'] : ['scram', 'scram-secret']
      const admin = new Kafka({ clientId: 'kafkajs', brokers: [sasl], sasl: { mechanism, username, password }, logLevel: logLevel.ERROR }).admin()
      await admin.connect()
      await admin.listTopics()
      await admin.disconnect()
    })
  }
}

main().then(() => process.exit(0))
