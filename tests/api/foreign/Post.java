// Posts a file with Java's own client, as it is by default (it asks for h2c), and prints the status.
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.*;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Properties;
import javax.net.ssl.*;

public class Post {
    public static void main(String[] given) throws Exception {
        HttpClient.Builder client = HttpClient.newBuilder();
        if (given.length > 3 && !given[3].isEmpty()) {
            System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
            KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null, null);
            try (FileInputStream file = new FileInputStream(given[3])) {
                trusted.setCertificateEntry("proxy", CertificateFactory.getInstance("X.509").generateCertificate(file));
            }
            TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            managers.init(trusted);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, managers.getTrustManagers(), null);
            client.sslContext(context);
        }
        HttpRequest request = HttpRequest.newBuilder(URI.create(given[0]))
            .header("x-api-key", given[1]).header("content-type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofFile(Path.of(given[2]))).build();
        System.out.println(client.build().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
