import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.plugins.PluginInfo;

/** One OpenSearch node from its Maven artifacts, HTTP on 127.0.0.1. Args: folder, HTTP port, range of transport ports. */
public final class OpenSearchNode {
    /** What the distribution has as modules, as far as the tests need it. */
    private static final List<String> MODULES = List.of(
            "org.opensearch.transport.Netty4ModulePlugin",
            "org.opensearch.painless.PainlessModulePlugin",
            "org.opensearch.analysis.common.CommonAnalysisModulePlugin",
            "org.opensearch.index.mapper.MapperExtrasModulePlugin");

    /** The constructor that takes modules of the class path is for subclasses. */
    private static final class TestNode extends Node {
        TestNode(Settings settings, Path configuration, Collection<PluginInfo> modules) {
            super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), configuration, () -> "opensearch"),
                    modules, true);
        }
    }

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Path configuration = Files.createDirectories(home.resolve("config"));
        Files.createDirectories(home.resolve("plugins"));
        Files.createDirectories(home.resolve("modules"));
        Settings settings = Settings.builder()
                .put("path.home", home.toString())
                .put("path.data", home.resolve("data").toString())
                .put("path.logs", home.resolve("logs").toString())
                .put("cluster.name", "tests")
                .put("node.name", "opensearch")
                .put("network.host", "127.0.0.1")
                .put("http.port", args[1])
                .put("transport.port", args[2])
                .put("discovery.type", "single-node")
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .put("http.type", "netty4")
                .put("transport.type", "netty4")
                .build();
        Node node = new TestNode(settings, configuration, modules());
        node.start();
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
            ended.countDown();
        }));
        ended.await();
    }

    private static List<PluginInfo> modules() throws ClassNotFoundException {
        List<PluginInfo> modules = new ArrayList<>();
        for (String name : MODULES) {
            Class<? extends Plugin> module = Class.forName(name).asSubclass(Plugin.class);
            modules.add(new PluginInfo(module.getName(), "of the class path", "none", Version.CURRENT, "21",
                    module.getName(), null, List.of(), false));
        }
        return modules;
    }
}
