import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.Readable;

/**
 * Has Kafka's own classes read messages and write them again: java -cp 'kafka/libs/*' Recode.java SAMPLES > OUT
 * Lines in and out are NAME VERSION HEX. What Kafka reads differently, or has no class for, is said on stderr.
 */
class Recode {
    static final List<String> CLASSES = List.of(
        "org.apache.kafka.common.message.%sData", "org.apache.kafka.common.message.%s",
        "org.apache.kafka.common.metadata.%s", "org.apache.kafka.coordinator.group.generated.%s",
        "org.apache.kafka.coordinator.share.generated.%s", "org.apache.kafka.coordinator.transaction.generated.%s",
        "org.apache.kafka.raft.generated.%s", "org.apache.kafka.server.log.internals.generated.%s",
        "org.apache.kafka.streams.internals.generated.%s", "org.apache.kafka.storage.internals.log.generated.%s");

    static Class<?> find(String name) {
        for (String pattern : CLASSES) {
            try {
                return Class.forName(pattern.formatted(name));
            } catch (ClassNotFoundException e) {
                continue;
            }
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split(" ", -1);
            short version = Short.parseShort(words[1]);
            byte[] bytes = HexFormat.of().parseHex(words[2]);
            Class<?> type = find(words[0]);
            if (type == null) {
                System.err.println("no class: " + words[0]);
                continue;
            }
            try {
                ByteBufferAccessor in = new ByteBufferAccessor(ByteBuffer.wrap(bytes));
                Message message = (Message) type.getConstructor(Readable.class, short.class).newInstance(in, version);
                ObjectSerializationCache cache = new ObjectSerializationCache();
                ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
                message.write(new ByteBufferAccessor(out), cache, version);
                if (in.remaining() > 0 || !Arrays.equals(out.array(), bytes)) {
                    System.err.println("differs: " + line + "\n  Kafka: " + HexFormat.of().formatHex(out.array()));
                } else {
                    System.out.println(line);
                }
            } catch (ReflectiveOperationException | RuntimeException e) {
                System.err.println("refused: " + line + "\n  " + (e.getCause() == null ? e : e.getCause()));
            }
        }
    }
}
