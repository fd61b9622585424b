import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.io.Item

/** A script in QuPath finds these by import; here they are its base. */
abstract class QuPath extends Script {
    static List objects = []
    static String address

    List getAllObjects() { return objects }
    void removeObjects(Collection some, boolean keepChildren) { objects.removeAll(some) }
    void addObjects(Collection some) { objects.addAll(some) }
    void fireHierarchyUpdate() {}
    Object getPathClass(String name) { return name }
    Object getCurrentServer() { return [getURIs: { [new URI(address)] as List }] as Server }
}

interface Server {
    List getURIs()
}

def settings = new CompilerConfiguration(scriptBaseClass: QuPath.name)
args.drop(1).eachWithIndex { address, n ->
    QuPath.address = address
    QuPath.objects = [new Item(name: "drawn by hand", kind: "Tumor"), new Item(name: "imported before", kind: "wsi_ai: old")]
    new GroovyShell(this.class.classLoader, new Binding(), settings).evaluate(new File(args[0]))
    def kept = QuPath.objects.unique(false) { "${it.name} ${it.kind}" }
    kept.each { println "${n}: ${it.name} [${it.kind}]" }
}
