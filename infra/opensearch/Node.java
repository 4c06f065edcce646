import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One OpenSearch node in this process, with the k-NN plugin, until the process is asked to end. Arguments: HOME [setting=value]…
 * Which settings a node needs is decided by whoever starts it (node.py). Plugins beside k-NN: -Dcandid.plugins=class,class
 */
public final class Node {
  /** Transport and HTTP (nothing listens without it); painless (k-NN needs it); _delete_by_query; keyword normalizers. */
  private static final String[] MODULES = {"org.opensearch.transport.Netty4", "org.opensearch.painless.Painless",
      "org.opensearch.index.reindex.Reindex", "org.opensearch.analysis.common.CommonAnalysis"};

  public static void main(String[] args) throws Exception {
    String more = System.getProperty("candid.plugins", "");
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild((number, settings) -> {
      for (String setting : Arrays.asList(args).subList(1, args.length)) {
        String[] parts = setting.split("=", 2);
        if (parts[1].contains(",")) {
          settings.putList(parts[0], parts[1].split(","));
        } else {
          settings.put(parts[0], parts[1]);
        }
      }
    }).build(newConfigs().basePath(args[0]).numOfNode(1).clusterName("candid").printOnFailure()
        .moduleTypes(String.join(",", Arrays.stream(MODULES).map(Node::present).toList()))
        .pluginTypes("org.opensearch.knn.plugin.KNNPlugin" + (more.isEmpty() ? "" : "," + more)));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        runner.close();
      } catch (Exception error) {
        error.printStackTrace();
      }
    }));
    new CountDownLatch(1).await();
  }

  /** 2.x calls a module XPlugin and 3.x XModulePlugin; the runner leaves out one that it can't find, and says nothing. */
  private static String present(String name) {
    for (String full : new String[] {name + "Plugin", name + "ModulePlugin"}) {
      try {
        Class.forName(full);
        return full;
      } catch (ClassNotFoundException error) {
        continue;
      }
    }
    throw new IllegalStateException("There is no class for the module " + name + ".");
  }
}
