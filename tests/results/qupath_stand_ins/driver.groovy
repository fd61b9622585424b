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

QuPath.address = args[1]
QuPath.objects = [new Item(name: "drawn by hand", kind: "Tumor"), new Item(name: "imported before", kind: "wsi_ai: old")]
def settings = new CompilerConfiguration(scriptBaseClass: QuPath.name)
new GroovyShell(this.class.classLoader, new Binding(), settings).evaluate(new File(args[0]))
QuPath.objects.unique(false) { "${it.name} ${it.kind}" }.each { println "kept: ${it.name} [${it.kind}]" }
