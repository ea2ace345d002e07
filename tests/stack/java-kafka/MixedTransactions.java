import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A transactional producer of Java: brokers, topic, partitions, transactions, compression. Of each three transactions
 * one is aborted. Records say what became of them: "kept-N" or "gone-N".
 */
public final class MixedTransactions {
  public static void main(String[] args) {
    int partitions = Integer.parseInt(args[2]);
    int transactions = Integer.parseInt(args[3]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("transactional.id", "mixed-" + args[4] + "-" + System.nanoTime());
    settings.put("compression.type", args[4]);
    settings.put("linger.ms", "1");
    try (var producer =
        new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      producer.initTransactions();
      int number = 0;
      for (int i = 0; i < transactions; i++) {
        boolean isAborted = i % 3 == 1;
        producer.beginTransaction();
        for (int j = 0; j < 20; j++) {
          String text = (isAborted ? "gone-" : "kept-") + number++ + "-" + "x".repeat(j * 10);
          byte[] value = text.getBytes(StandardCharsets.UTF_8);
          producer.send(new ProducerRecord<>(args[1], number % partitions, null, value));
        }
        // Else an abort could drop them before they are sent.
        producer.flush();
        if (isAborted) {
          producer.abortTransaction();
        } else {
          producer.commitTransaction();
        }
      }
    }
  }
}
