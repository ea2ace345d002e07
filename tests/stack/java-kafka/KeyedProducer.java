import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends one record for each key (arguments: brokers, topic, compression, keys in base64…); prints its partition. */
public class KeyedProducer {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("compression.type", args[2]);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            for (int i = 3; i < args.length; i++) {
                byte[] bytes = java.util.Base64.getDecoder().decode(args[i]);
                String key = new String(bytes, StandardCharsets.UTF_8);
                int partition =
                        producer.send(new ProducerRecord<>(args[1], key, "java " + i)).get().partition();
                System.out.println(partition);
            }
        }
    }
}
