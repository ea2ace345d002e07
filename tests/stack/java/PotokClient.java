import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogProperties;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.rest.RESTCatalogProperties;

/**
 * Iceberg's own REST client over the potok whose address the system property {@code potok.catalog} holds. It sets no
 * file IO: engines have the one that Iceberg chooses by the location.
 */
final class PotokClient {
  private PotokClient() {}

  /**
   * With the properties of the client that the suites expect (those of Iceberg's REST Compatibility Kit): defaults
   * and overrides of table and view properties, which are the client's to apply.
   */
  static RESTCatalog open(String name, Map<String, String> more) {
    Map<String, String> properties = new HashMap<>();
    properties.put(CatalogProperties.URI, System.getProperty("potok.catalog"));
    // Lists come in pages, so that the client's and the server's idea of them meet.
    properties.put(RESTCatalogProperties.PAGE_SIZE, "2");
    for (int i = 1; i <= 2; i++) {
      properties.put(CatalogProperties.TABLE_DEFAULT_PREFIX + "default-key" + i, "catalog-default-key" + i);
    }
    properties.put(CatalogProperties.TABLE_DEFAULT_PREFIX + "override-key3", "catalog-default-key3");
    for (int i = 3; i <= 4; i++) {
      properties.put(CatalogProperties.TABLE_OVERRIDE_PREFIX + "override-key" + i, "catalog-override-key" + i);
    }
    for (int i = 1; i <= 3; i++) {
      properties.put(CatalogProperties.VIEW_DEFAULT_PREFIX + "key" + i, "catalog-default-key" + i);
    }
    for (int i = 3; i <= 4; i++) {
      properties.put(CatalogProperties.VIEW_OVERRIDE_PREFIX + "key" + i, "catalog-override-key" + i);
    }
    properties.putAll(more);
    RESTCatalog catalog = new RESTCatalog();
    catalog.setConf(new Configuration());
    catalog.initialize(name, properties);
    return catalog;
  }

  /** Every test begins with an empty catalog, but for the namespace that potok makes for itself. */
  static void clear(RESTCatalog catalog) {
    for (Namespace namespace : catalog.listNamespaces()) {
      if (!namespace.equals(Namespace.of("traffic"))) clear(catalog, namespace);
    }
  }

  private static void clear(RESTCatalog catalog, Namespace namespace) {
    for (Namespace inner : catalog.listNamespaces(namespace)) clear(catalog, inner);
    catalog.listTables(namespace).forEach(table -> catalog.dropTable(table, false));
    catalog.listViews(namespace).forEach(catalog::dropView);
    catalog.dropNamespace(namespace);
  }

  /** Where the suites may put tables and views that they give a location. */
  static String folder() {
    return System.getProperty("potok.folder");
  }
}
